"""Pairs of test code and programs: right programs that see and show more than plain data, and tricks that must fail."""

RIGHT = [
    (
        "f",
        "assert list(f(3)) == [0,1,4]",
        """def f(n):
    for i in range(n): yield i*i
""",
    ),
    ("f", "assert list(f([1,2])) == ['1','2']", "def f(xs): return map(str,xs)"),
    ("f", "assert f(3)(4) == 12", "def f(n): return lambda x: x*n"),
    ("f", "assert f(lambda x: x+1,[1,2]) == [2,3]", "def f(g,xs): return [g(x) for x in xs]"),
    (
        "",
        """b = Box()
b.put(3)
assert b.size() == 1
""",
        """class Box:
    def __init__(self): self.items=[]
    def put(self,x): self.items.append(x)
    def size(self): return len(self.items)
""",
    ),
    (
        "f",
        """import numpy as np
assert np.allclose(f(1),[0.25])
""",
        "def f(n): return [n/4]",
    ),
    (
        "f",
        """import numpy as np
assert (f(np.arange(3)) == np.array([0,2,4])).all()
""",
        """import numpy as np
def f(a): return a*2
""",
    ),
    (
        "f",
        """import numpy as np
a=np.arange(3)
f(a)
assert a.tolist()==[0,2,4]
""",
        """import numpy as np
def f(a): a*=2
""",
    ),
    (
        "f",
        "assert f([1,2]) == [2,4]",
        """import numpy as np
def f(a): return np.array(a)*2
""",
    ),
    (
        "total",
        "assert total([Item(1,2),Item(3,4)]) == 6",
        """class Item:
    def __init__(s,w,v): s.w=w;s.v=v
def total(xs): return sum(i.v for i in xs)
""",
    ),
    (
        "f",
        """xs=[3,1]
f(xs)
assert xs == [1,3]
""",
        "def f(xs): xs.sort()",
    ),
    (
        "f",
        """xs=[3,1]
assert f(xs) is None and xs == [1,3]
""",
        "def f(xs): xs.sort()",
    ),
    (
        "f",
        """m=[[1,2],[3,4]]
f(m)
assert m == [[1,3],[2,4]]
""",
        """def f(m):
    m[0][1],m[1][0]=m[1][0],m[0][1]
    return m
""",
    ),
    (
        "f",
        """d={'a':1}
f(d)
assert d == {'a':2,'b':0}
""",
        "def f(d): d['a']+=1; d['b']=0",
    ),
    (
        "f",
        """s={1}
f(s)
assert s == {1,2}
""",
        "def f(s): s.add(2)",
    ),
    (
        "f",
        """xs=[3,1]
f(xs)
assert xs == [1,3]
""",
        "def f(xs): xs.sort(); return xs",
    ),
    (
        "f",
        """def test_f():
    assert f(1)==2
""",
        "def f(x): return x+1",
    ),
    (
        "f",
        """if __name__ == '__main__':
    assert f(1)==2
""",
        "def f(x): return x+1",
    ),
    (
        "f",
        """import unittest
class T(unittest.TestCase):
    def test_a(self):
        self.assertEqual(f(1),2)
    def test_b(self):
        with self.assertRaises(ValueError): f(-1)
        self.assertRaises(ValueError, f, -2)
if __name__=='__main__':
    unittest.main()
""",
        """def f(x):
    if x<0: raise ValueError('no')
    return x+1
""",
    ),
    (
        "f",
        """class TestF:
    def test_a(self):
        assert f(1)==2
""",
        "def f(x): return x+1",
    ),
    (
        "f",
        """try:
    f(-1)
    assert False
except ValueError as e:
    assert str(e)=='no'
assert f(1)==2
""",
        """def f(x):
    if x<0: raise ValueError('no')
    return x+1
""",
    ),
    (
        "f",
        """try:
    f(-1)
    ok=False
except MyError as e:
    ok=e.code==3
assert ok
""",
        """class MyError(Exception):
    def __init__(s,c): s.code=c; super().__init__(c)
def f(x): raise MyError(3)
""",
    ),
    (
        "f",
        """from contextlib import suppress
with suppress(KeyError):
    f({})
assert f({1:2})==2
""",
        "def f(d): return d[1]",
    ),
    ("f", "assert f(2) == 1+2j", "def f(x): return complex(1,x)"),
    (
        "f",
        """from fractions import Fraction
assert f(2) == Fraction(1,2)
""",
        """from fractions import Fraction
def f(x): return Fraction(1,x)
""",
    ),
    (
        "f",
        "assert list(f({'b':2,'a':1}).items()) == [('a',1),('b',2)] and list(f({'z':1,'b':0}))==['b','z']",
        "def f(d): return dict(sorted(d.items(), key=lambda kv: kv[1]))",
    ),
    (
        "f",
        """p=f(1)
assert p.x==1 and p==(1,2)
""",
        """from collections import namedtuple
P=namedtuple('P','x y')
def f(a): return P(a,2)
""",
    ),
    (
        "",
        """s=Stack()
s.push(2)
assert s.pop()==2 and len(s)==0
""",
        """class Stack(list):
    def push(self,x): self.append(x)
""",
    ),
    (
        "",
        """root=Node(1)
root.left=Node(2)
assert depth(root)==2
""",
        """class Node:
    def __init__(self,v): self.v=v; self.left=self.right=None
def depth(r): return 0 if r is None else 1+max(depth(r.left),depth(r.right))
""",
    ),
    (
        "rev",
        """class L:
    def __init__(self,v,n=None): self.val=v; self.next=n
def build(xs):
    h=None
    for x in reversed(xs): h=L(x,h)
    return h
def out(n):
    r=[]
    while n:
        r.append(n.val); n=n.next
    return r
assert out(rev(build([1,2,3])))==[3,2,1]
""",
        """def rev(h):
    p=None
    while h:
        h.next,p,h=p,h,h.next
    return p
""",
    ),
    (
        "rev",
        """def out(n):
    r=[]
    while n:
        r.append(n.val); n=n.next
    return r
assert out(rev(L(1,L(2))))==[2,1]
""",
        """class L:
    def __init__(self,v,n=None): self.val=v; self.next=n
def rev(h):
    p=None
    while h:
        h.next,p,h=p,h,h.next
    return p
""",
    ),
    (
        "",
        "assert add(P(1,2),P(3,4)) == P(4,6)",
        """from dataclasses import dataclass
@dataclass
class P:
    x:int
    y:int
def add(a,b): return P(a.x+b.x,a.y+b.y)
""",
    ),
    (
        "",
        "assert (V(1,2)+V(3,4)).x == 4",
        """class V:
    def __init__(s,x,y): s.x=x;s.y=y
    def __add__(s,o): return V(s.x+o.x,s.y+o.y)
""",
    ),
    (
        "f",
        "assert f() == LIMIT",
        """LIMIT=3
def f(): return 3
""",
    ),
    (
        "f",
        "assert f(1) == Color.RED and f(2) == Color.BLUE",
        """from enum import Enum
class Color(Enum):
    RED=1
    BLUE=2
def f(x): return Color(x)
""",
    ),
    (
        "f",
        """import itertools
assert list(itertools.islice(f(),5)) == [0,1,2,3,4]
""",
        """def f():
    i=0
    while True:
        yield i
        i+=1
""",
    ),
    (
        "f",
        """g=f(2)
assert next(g)==0 and next(g)==1
try:
    next(g)
    assert False
except StopIteration: pass
""",
        "def f(n): yield from range(n)",
    ),
    (
        "f",
        "assert f(iter([1,2,3])) == 6 and f(x for x in range(3)) == 3 and f(range(4))==6",
        "def f(it): return sum(it)",
    ),
    ("f", "assert f(str,[1]) == ['1'] and f(len,['ab'])==[2]", "def f(g,xs): return list(map(g,xs))"),
    (
        "f",
        """calls=[]
def cb(x):
    calls.append(x)
    return f(x-1, cb) if x else 0
f(3,cb)
assert calls==[3,2,1,0]
""",
        "def f(x,cb): return cb(x)",
    ),
    (
        "f",
        """import asyncio
assert asyncio.run(f(3))==4
""",
        "async def f(x): return x+1",
    ),
    (
        "f",
        """with f(3) as v:
    assert v==3
""",
        """from contextlib import contextmanager
@contextmanager
def f(x): yield x
""",
    ),
    (
        "f",
        """def test_it():
    for a,b in [(1,2),(2,3)]:
        assert f(a)==b
def check(candidate):
    assert candidate(4)==5
""",
        "def f(x): return x+1",
    ),
    (
        "f",
        "assert str(f(2)) == 'P2' and f'{f(2)}'=='P2' and repr(f(3))=='R'",
        """class P:
    def __init__(s,x): s.x=x
    def __str__(s): return f'P{s.x}'
    def __repr__(s): return 'R'
def f(x): return P(x)
""",
    ),
    (
        "",
        """t=Trie()
t.insert('apple')
assert t.startswith('app') and 'apple' in t and not t.startswith('b')
""",
        """class Trie:
    def __init__(s): s.w=set()
    def insert(s,w): s.w.add(w)
    def startswith(s,p): return any(x.startswith(p) for x in s.w)
    def __contains__(s,w): return w in s.w
""",
    ),
    (
        "f",
        """a=[1]
assert f([a,a]) == [[5],[5]] and a==[5]
""",
        """def f(x):
    x[0][0]=5
    return x
""",
    ),
    (
        "f",
        "assert isinstance(f(1), Box) and not isinstance(f(1), list)",
        """class Box: pass
def f(x): return Box()
""",
    ),
    (
        "f",
        """@f
def g(x): return x+1
assert g(1)==4
""",
        "def f(fn): return lambda x: fn(x)*2",
    ),
    ("f", "assert f('x' * 10**5) == 10**5", "def f(s): return len(s)"),
    ("f", "assert f(10**5000) == 10**5000+1", "def f(s): return s+1"),
    ("f", "assert f(float('inf')) == float('inf') and f(2.5)==2.5", "def f(s): return s"),
    ("f", "assert f({'a':[1,(2,3)],'b':{4}}) == {'a':[1,(2,3)],'b':{4}}", "def f(s): return s"),
    (
        "f",
        "assert f(1)[0] == 2 and len(f(1))==3 and f(1)[-1]=='z' and 'z' in f(1)",
        """class S:
    def __getitem__(s,i): return [2,3,'z'][i]
    def __len__(s): return 3
def f(x): return S()
""",
    ),
    (
        "inv",
        """def ser(t):
    if not t: return []
    return ser(t.left)+[t.val]+ser(t.right)
t=T(2); t.left=T(1); t.right=T(3)
assert ser(inv(t))==[3,2,1]
""",
        """class T:
    def __init__(s,v): s.val=v; s.left=s.right=None
def inv(t):
    if t: t.left,t.right=inv(t.right),inv(t.left)
    return t
""",
    ),
    (
        "f",
        """d={'b':1}
assert sorted(f(d.keys(), d.values(), d.items())) == ['b']
""",
        "def f(k,v,i): return list(k)",
    ),
    (
        "f",
        """from collections import defaultdict, OrderedDict, Counter, deque
assert f('aab') == Counter('aab') and f('aab').most_common(1)==[('a',2)]
""",
        """from collections import Counter
def f(s): return Counter(s)
""",
    ),
    (
        "f",
        """from collections import deque
q=deque([1,2])
f(q)
assert list(q)==[2,1]
""",
        "def f(q): q.rotate(1)",
    ),
    (
        "f",
        """def test_f():
    xs=[2,1]
    assert f(xs) is None
    assert xs==[1,2]
""",
        "def f(xs): xs.sort()",
    ),
    (
        "f",
        """import copy
xs=[[1,2]]
assert f(copy.deepcopy(xs))==[[2,1]] and xs==[[1,2]]
""",
        "def f(x): return [r[::-1] for r in x]",
    ),
    (
        "f",
        """try:
    f(0)
except ZeroDivisionError:
    pass
else:
    assert False
assert f(2)==.5
""",
        "def f(x): return 1/x",
    ),
    (
        "f",
        """from decimal import Decimal
assert f('1.1') == Decimal('2.2')
""",
        """from decimal import Decimal
def f(s): return Decimal(s)*2
""",
    ),
    (
        "f",
        """import datetime
assert f(datetime.date(2020,1,1)) == datetime.date(2020,1,2)
""",
        """import datetime
def f(d): return d+datetime.timedelta(days=1)
""",
    ),
    (
        "f",
        """import re
assert re.match('a+', f(3))
""",
        "def f(n): return 'a'*n",
    ),
    (
        "f",
        """g=f(0)
assert [g(),g(),g()]==[1,2,3]
""",
        """def f(n):
    def g():
        nonlocal n
        n+=1
        return n
    return g
""",
    ),
    (
        "f",
        "assert f(1).name == 'x' and f(1).tags == ['a']",
        """from dataclasses import dataclass, field
@dataclass
class R:
    name:str
    tags:list
def f(i): return R('x',['a'])
""",
    ),
    (
        "f",
        """r=f([1,2,3],key=lambda v:-v)
assert r==[3,2,1]
""",
        "def f(xs,key): return sorted(xs,key=key)",
    ),
    (
        "f",
        """from functools import cmp_to_key, reduce, partial
import operator
assert f(partial(operator.add,1),2)==3 and f(operator.neg,3)==-3 and f(str.upper,'a')=='A'
""",
        "def f(g,x): return g(x)",
    ),
    (
        "f",
        """class C:
    def __init__(self): self.n=0
    def hit(self,x): self.n+=x
c=C()
f(c)
assert c.n==5
""",
        """def f(c):
    c.hit(2); c.hit(3)
""",
    ),
    (
        "f",
        """import numpy as np
a=np.array([[1,2],[3,4]])
assert np.array_equal(f(a), a.T) and f(a).shape==(2,2)
""",
        "def f(a): return a.T",
    ),
    (
        "f",
        """import numpy as np
assert f(np.array([1.5,2.5])) == 2.0 and isinstance(f(np.array([1.])),float)
""",
        """import numpy as np
def f(a): return np.mean(a)
""",
    ),
    (
        "f",
        """import numpy as np
assert np.isclose(f(np.float64(2)), 4) and f(np.int64(3))==6
""",
        "def f(a): return a*2",
    ),
    (
        "",
        """s=Stack()
for i in range(3): s.push(i)
assert [s.pop() for _ in range(3)]==[2,1,0]
try:
    s.pop()
    assert False
except IndexError: pass
""",
        """class Stack:
    def __init__(s): s.a=[]
    def push(s,x): s.a.append(x)
    def pop(s): return s.a.pop()
""",
    ),
    (
        "",
        "assert Temp.from_f(212).c == 100 and Temp.KIND=='t'",
        """class Temp:
    KIND='t'
    def __init__(s,c): s.c=c
    @classmethod
    def from_f(cls,x): return cls((x-32)*5/9)
""",
    ),
    (
        "",
        """a=Acc(5)
a.balance=7
assert a.balance==7 and len(a)==7 and a[0]=='k' and list(a)==[1,2]
""",
        """class Acc:
    def __init__(s,b): s.balance=b
    def __len__(s): return s.balance
    def __getitem__(s,i): return 'k'
    def __iter__(s): return iter([1,2])
""",
    ),
    (
        "f",
        """from typing import List
assert f([1])==[1]
""",
        "def f(x): return x",
    ),
    (
        "f",
        """x: int = 3
assert f(x)==3 and (y:=f(2))==2 and y==2
""",
        "def f(x): return x",
    ),
    ("f", "assert f(1,2,c=3,**{'d':4})==10 and f(*[1,2],3,4)==10", "def f(a,b,c,d): return a+b+c+d"),
    (
        "f",
        """def inner(f2):
    return f2(1)
assert inner(f)==2 and list(map(f,[1,2]))==[2,3]
""",
        "def f(x): return x+1",
    ),
    (
        "f",
        """import random
random.seed(1)
for _ in range(50):
    x=random.random()
    assert abs(f(x)-x*2)<1e-9
""",
        "def f(x): return x*2",
    ),
    ("f", "assert f([])==0 and f([float('nan')])==1", "def f(x): return len(x)"),
    (
        "f",
        """gen=f()
assert next(gen)==1
assert gen.send(5)==5
""",
        """def f():
    x=yield 1
    yield x
""",
    ),
    ("f", "import io\nassert f('a\\nb')==['a','b']", "def f(s): return s.splitlines()"),
    (
        "f",
        "assert str(f(3)).startswith('P(') and f(3).x==3",
        """class P:
    def __init__(s,x): s.x=x
    def __repr__(s): return f'P({s.x})'
def f(x): return P(x)
""",
    ),
    (
        "f",
        """assert issubclass(MyErr, Exception)
try:
    f()
    assert 0
except MyErr: pass
""",
        """class MyErr(ValueError): pass
def f(): raise MyErr('a')
""",
    ),
    (
        "f",
        """try:
    f()
    assert 0
except ValueError as e: assert 'a' in str(e)
""",
        """class MyErr(ValueError): pass
def f(): raise MyErr('a')
""",
    ),
    ("f", "assert max(f(3), f(4)) == 4 and sorted([f(2),f(1)])==[1,2]", "def f(x): return x"),
    (
        "f",
        """r = f(5)
assert len(list(r)) == 5
""",
        "def f(n): return zip(range(n),range(n))",
    ),
    ("f", "assert f(2).real == 2", "def f(x): return complex(x)"),
    ("f", "assert f(b'ab', bytearray(b'c')) == b'abc'", "def f(a,b): return a+bytes(b)"),
    (
        "f",
        """import pytest
def test_a():
    with pytest.raises(ValueError, match='no') as e:
        f(-1)
    assert 'no' in str(e.value)
def test_b():
    pytest.raises(ValueError, f, -2)
    assert f(1) == pytest.approx(2.0000001)
""",
        """def f(x):
    if x < 0:
        raise ValueError('no')
    return x + 1.0
""",
    ),
    (
        "f",
        """import pytest
@pytest.mark.parametrize('x, y', [(1, 2), (2, 3)])
def test_a(x, y):
    assert f(x) == y
""",
        """def f(x):
    return x + 1
""",
    ),
    (
        "f",
        """from pytest import approx
assert f(1) == approx([0.3, 1]) and {'a': 0.3} == approx({'a': f(1)[0]})
""",
        """def f(x):
    return [0.1 + 0.2, x]
""",
    ),
    (
        "f",
        """nums = [1, 1, 2]
k = f(nums)
assert k == 2
assert nums[:k] == [1, 2]
""",
        """def f(xs):
    xs[:] = sorted(set(xs)) + [0]
    return len(xs) - 1
""",
    ),
    (
        "f",
        """xs = [3, 1]
assert f(xs) == [1, 3]
assert xs == [1, 3]
""",
        """def f(xs):
    xs.sort()
    return xs
""",
    ),
    (
        "f",
        """xs = [3, 1]
assert f(xs) == [1, 3] and xs == [3, 1]
""",
        """def f(xs):
    return sorted(xs)
""",
    ),
]
"""(entry point, test code, a program that passes it)."""
WRONG = [
    ("f", "assert all(map(lambda x: f(x)==x+1, range(5)))", "def f(x): raise StopIteration"),
    ("f", "assert all(f(x)==x+1 for x in range(5))", "def f(x): raise StopIteration"),
    (
        "f",
        """def gen():
    for i in range(3): yield f(i)
assert list(gen())==[1,2,3] or True
""",
        "def f(x): raise GeneratorExit",
    ),
    (
        "f",
        """class S:
    def __getitem__(s,i): return f(i)
for x in S(): assert x==99
""",
        "def f(x): raise IndexError",
    ),
    (
        "f",
        """class S:
    def __getattr__(s,n): return f(n)
assert not hasattr(S(),'a')
""",
        "def f(x): raise AttributeError",
    ),
    (
        "f",
        """class S:
    def __len__(s): return f(1)
    def __iter__(s): return iter([1])
assert list(S())
""",
        "def f(x): raise TypeError",
    ),
    (
        "f",
        """def test_f():
    assert f(1)==2
""",
        "def f(x): return 7",
    ),
    (
        "f",
        """if __name__ == '__main__':
    assert f(1)==2
""",
        "def f(x): return 7",
    ),
    ("f", "assert 10**f(2)==100", "def f(x): return 10**9"),
    ("f", "assert len(list(range(f(2))))==2", "def f(x): return 10**12"),
    ("f", "assert 'a'*f(2)=='aa'", "def f(x): return 10**11"),
    (
        "f",
        "assert list(f(2))==[0,1]",
        """def f(x):
    while True: yield 0
""",
    ),
    ("f", "assert f(1)", "def f(x): return object()"),
    (
        "f",
        "assert f(1)==2",
        """class E:
    __eq__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(1)==2",
        """class E(int):
    __eq__=lambda s,o: True
def f(x): return E(7)
""",
    ),
    (
        "f",
        "assert abs(f(1)-2)<1e-6",
        """class E:
    __sub__=__rsub__=lambda s,o: 0
    __abs__=lambda s:0
def f(x): return E()
""",
    ),
    (
        "f",
        "assert 3 in f(1)",
        """class E:
    __contains__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f('a').startswith('b')",
        """class E:
    startswith=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        """xs=[3,1,2]
assert f(xs)==sorted(xs)
""",
        "def f(xs): xs.clear(); return xs",
    ),
    (
        "f",
        """xs=[3,1,2]
out=f(xs)
assert out==sorted(xs)
""",
        "def f(xs): xs.clear(); return []",
    ),
    (
        "f",
        """import math
assert math.isclose(f(1),2)
""",
        "def f(x): return None",
    ),
    (
        "f",
        """with f(1):
    assert f(2)==3
""",
        """class E:
    __enter__=lambda s:1
    __exit__=lambda s,*a: True
def f(x): return E() if x==1 else 0
""",
    ),
    (
        "f",
        """def cb(x):
    assert x==1
f(cb)
""",
        """def f(cb):
    try: cb(2)
    except BaseException: pass
""",
    ),
    (
        "f",
        "assert f(1) > 0",
        """class E:
    __gt__=lambda s,o: True
    __lt__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert 0 < f(1)",
        """class E:
    __gt__=lambda s,o: True
    __lt__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        """import numpy as np
assert np.allclose(f(1),[1])
""",
        """class E:
    __array__=lambda s,*a,**k: [1]
    __array_ufunc__=lambda *a,**k: True
def f(x): return E()
""",
    ),
    (
        "f",
        """import unittest
class T(unittest.TestCase):
    def test_a(self): self.assertEqual(f(1),2)
unittest.main()
""",
        "def f(x): return 7",
    ),
    (
        "f",
        """import unittest
class T(unittest.TestCase):
    def test_a(self): self.assertTrue(f(1))
""",
        "def f(x): return object()",
    ),
    ("f", "assert f(f)==1", "import os\nos.write(3,b'=[1,[]]\\n')\ndef f(x): return 1"),
    ("f", "assert f(1)==1", "import os\ndef f(x):\n    os.write(3,b'=[1,[]]\\n')\n    return 1"),
    ("f", "assert f(1)==1", "import os\ndef f(x):\n    os.write(3,b'=nonsense\\n')\n    os._exit(0)"),
    (
        "f",
        """try:
    f(1)
except ValueError: pass
""",
        "import os\ndef f(x):\n    os.write(3,b'=nonsense\\n')\n    os._exit(0)",
    ),
    ("f", "assert f(1)==1", "import os\ndef f(x):\n    os.write(3,b'={\"m\":0}\\n')\n    os._exit(0)"),
    ("f", "assert f(1)==1", "import os\ndef f(x):\n    os.write(3,b'<[\"call\",0,[[],{}]]\\n')\n    os._exit(0)"),
    (
        "f",
        "assert f(lambda: 5)==1",
        """def f(g):
    import sys
    return g.__globals__
""",
    ),
    (
        "f",
        "assert f('x') == 'y'",
        """class E(str):
    __eq__=lambda s,o: True
    __hash__=str.__hash__
def f(x): return E('z')
""",
    ),
    (
        "f",
        "assert f(1).x == 2",
        """class E:
    x=property(lambda s: type('Q',(),{'__eq__':lambda s,o:True})())
def f(x): return E()
""",
    ),
    ("f", "assert sorted(f(1)) == [1,2]", "def f(x): return iter([2])"),
    (
        "f",
        "assert isinstance(f(1), list)",
        """class E:
    __class__=list
def f(x): return E()
""",
    ),
    (
        "f",
        "assert {f(1)} == {2}",
        """class E:
    __eq__=lambda s,o:True
    __hash__=lambda s: hash(2)
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(1) in [2,3]",
        """class E:
    __eq__=lambda s,o:True
def f(x): return E()
""",
    ),
    ("f", "assert any(f(x) for x in range(3))", "def f(x): return object()"),
    (
        "f",
        "assert not f(1)",
        """class E:
    __bool__=lambda s: False
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(1) == 2",
        """def f(x):
    import time
    time.sleep(60)
""",
    ),
    ("f", "assert f(lambda x: f(lambda y: y, 0), 1) == 5", "def f(g,x): return f(g,x)"),
    (
        "f",
        "assert f(2).total == 5",
        """class E:
    def __getattr__(s,n): return s
    __eq__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f([1,2]).count(1) == 1",
        """class E:
    def __getattr__(s,n): return lambda *a: s
    __eq__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "if not f(2): raise ValueError('bad')",
        """class E: pass
def f(x): return E()
""",
    ),
    (
        "f",
        """ok = bool(f(2))
assert ok
""",
        """class E: pass
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(2) and f(2) == 3",
        """class E:
    __eq__=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert 5 - f(2) == 0",
        """class E:
    __rsub__=lambda s,o: 0
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(2) % 2 == 0",
        """class E:
    __mod__=lambda s,o: 0
def f(x): return E()
""",
    ),
    (
        "f",
        "assert round(f(2), 2) == 3.14",
        """class E:
    __round__=lambda s,n: type('Q',(),{'__eq__':lambda a,b:True})()
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(2).issubset({1,2})",
        """class E:
    issubset=lambda s,o: True
def f(x): return E()
""",
    ),
    (
        "f",
        "assert set(f(2)) <= {1} and len(f(2)) == 1",
        """class E:
    __iter__=lambda s: iter([5])
    __len__=lambda s:1
def f(x): return E()
""",
    ),
    (
        "f",
        """import unittest
class T(unittest.TestCase):
    def test(self):
        self.assertAlmostEqual(f(2), 3)
        self.assertIn(3, f(1))
""",
        """class E:
    __sub__=__rsub__=__round__=__abs__=lambda *a: 0
    __contains__=lambda s,o:True
    __eq__=lambda s,o:True
def f(x): return E()
""",
    ),
    (
        "f",
        """import unittest
class T(unittest.TestCase):
    def test(self):
        self.assertTrue(f(2) == 3)
""",
        """class E:
    __eq__=lambda s,o:True
def f(x): return E()
""",
    ),
    (
        "f",
        """for a, b in [(1,2)]:
    try:
        assert f(a) == b
    except AttributeError:
        pass
    assert f(3) == 4
""",
        "def f(a): raise AttributeError",
    ),
    (
        "f",
        """xs=[3,1,2]
ys=sorted(xs)
assert f(xs)==ys and xs==[3,1,2]
""",
        "def f(xs): xs.sort(); return None",
    ),
    (
        "f",
        """exp=[1,2]
res=f(exp)
assert res==exp
""",
        """def f(x):
    x.clear()
    return []
""",
    ),
    (
        "f",
        """cases=[([2,1],[1,2])]
for a,b in cases:
    assert f(a)==b
""",
        """def f(a):
    import gc
    return a
""",
    ),
    (
        "f",
        """E=[1]
def cb(): return E
f(cb)
assert E==[2]
""",
        """def f(cb):
    cb().append(5)
""",
    ),
    (
        "f",
        """class X:
    secret=3
    _h=4
x=X()
assert f(x)==4
""",
        """def f(x):
    try: return x._h
    except Exception: return 0
""",
    ),
    (
        "f",
        "assert f(lambda: None)==1",
        'def f(g):\n    import os\n    os.write(3,b\'<["get",0,["__globals__"]]\\n\')\n    return 1',
    ),
    (
        "f",
        "assert f(lambda: None)==1",
        'def f(g):\n    import os\n    for i in range(100000): os.write(3,b\'<["call",0,[[],{"d":[]}]]\\n\')\n    return 1',
    ),
    (
        "f",
        "assert f(1)==1",
        "def f(g):\n    import os\n    os.write(3,b'='+b'['*100000+b']'*100000+b'\\n')\n    os._exit(0)",
    ),
    (
        "f",
        "assert f(1)==1",
        'def f(g):\n    import os\n    os.write(3,b\'=[{"v":["builtins.exec","x"]},[]]\\n\')\n    os._exit(0)',
    ),
    (
        "f",
        "assert f(1)==1",
        'def f(g):\n    import os\n    os.write(3,b\'=[{"v":["os._exit",0]},[]]\\n\')\n    os._exit(0)',
    ),
    (
        "f",
        "assert f(1)==1",
        'def f(g):\n    import os\n    os.write(3,b\'=[{"T":["X",["a b"],[1]]},[]]\\n\')\n    os._exit(0)',
    ),
    (
        "f",
        "assert f(1)==1",
        'def f(g):\n    import os\n    os.write(3,b\'=[{"T":["X)\\\\nimport os",["a"],[1]]},[]]\\n\')\n    os._exit(0)',
    ),
    (
        "f",
        """xs=[1]
assert f(xs)==[1] or xs==list(range(9,10))
""",
        "def f(g):\n    import os\n    os.write(3,b'=[2,[[0,[9]]]]\\n')\n    os._exit(0)",
    ),
    ("f", "assert f(1)==1", "def f(g):\n    import os\n    os.write(3,b'.\\n')\n    return 2"),
    ("f", "assert f(1)==1", 'def f(g):\n    import os\n    os.write(3,b\'=[{"h":[0,"c"]},[]]\\n\')\n    os._exit(0)'),
    ("f", "assert f(1)==1", 'def f(g):\n    import os\n    os.write(3,b\'=[{"h":[[],"c"]},[]]\\n\')\n    os._exit(0)'),
    ("f", "assert f(1)==1", "def f(g):\n    import os\n    os.write(3,b'\\xff\\xfe=[\\n')\n    os._exit(0)"),
    (
        "f",
        "assert f(1)==1",
        'def f(g):\n    import os\n    os.write(3,b\'=[{"n":["O",[1],[1]]},[]]\\n\')\n    os._exit(0)',
    ),
    ("f", "assert all(x == 2 for x in f(1)) and f(3) == 4", "def f(x): return iter(())"),
    (
        "f",
        "assert f(2) == 3",
        """class M(type):
    __eq__=lambda s,o:True
    __hash__=type.__hash__
    __instancecheck__=lambda s,o:True
class E(metaclass=M): pass
def f(x): return E
""",
    ),
    (
        "f",
        "assert type(f(2)) is int and f(2) == 3 or isinstance(f(2), int)",
        """class E:
    __class__=int
def f(x): return E()
""",
    ),
    (
        "f",
        "assert f(2) == 3",
        """import sys
for n in ('served','wire','harness'):
    m=sys.modules[n]
    for k in list(vars(m)):
        if callable(vars(m)[k]) and not k.startswith('__'): setattr(m,k,lambda *a,**k: b'=')
def f(x): return 3.5
""",
    ),
    (
        "f",
        """import pytest
@pytest.mark.parametrize('x, y', [(1, 2), (2, 3)])
def test_a(x, y):
    assert f(x) == y
""",
        """def f(x):
    return 2
""",
    ),
    (
        "f",
        """import pytest
def test_a():
    with pytest.raises(ValueError):
        f(-1)
""",
        """def f(x):
    raise StopIteration
""",
    ),
    (
        "f",
        """import pytest
def test_a():
    with pytest.raises(ValueError):
        f(-1)
""",
        """def f(x):
    return 1
""",
    ),
    (
        "f",
        """import pytest
assert f(1) == pytest.approx(2)
""",
        """class E:
    __eq__ = __sub__ = __rsub__ = __abs__ = lambda *a: True
def f(x):
    return E()
""",
    ),
    (
        "f",
        """import pytest
assert f(1) == pytest.approx(float('inf'))
""",
        """def f(x):
    return 1e300
""",
    ),
    (
        "f",
        """import pytest
assert f(1) == pytest.approx(2)
""",
        """def f(x):
    return float('inf')
""",
    ),
    (
        "f",
        """xs = [3, 1]
assert f(xs) == [1, 3]
assert xs == [3, 1]
""",
        """def f(xs):
    xs.sort()
    return xs
""",
    ),
    (
        "f",
        """xs = [3, 1]
assert f(xs) == xs[::-1]
""",
        """def f(xs):
    xs.clear()
    return []
""",
    ),
    (
        "f",
        """xs = [3, 1]
ys = xs
assert f(xs) == [] or f(ys) == sorted(ys)
""",
        """def f(xs):
    xs.clear()
    return [9]
""",
    ),
    (
        "f",
        """def check(candidate):
    for inp in ([3, 1], [2]):
        assert candidate(inp) == sorted(inp)
check(f)
""",
        """def f(xs):
    xs.clear()
    return xs
""",
    ),
    (
        "f",
        """xs = [3, 1]
ys = xs
assert f(ys) == sorted(xs)
""",
        """def f(xs):
    xs.clear()
    return []
""",
    ),
    (
        "f",
        """exp = [3, 1]
def get():
    return exp
assert f(get()) == sorted(exp)
""",
        """def f(xs):
    xs.clear()
    return []
""",
    ),
    (
        "f",
        """xs = [3, 1]
assert f([xs]) == sorted(xs)
""",
        """def f(xs):
    xs[0].clear()
    return []
""",
    ),
    (
        "f",
        """def same(a, b):
    return f(a) == sorted(b)
xs = [3, 1]
assert same(xs, xs)
""",
        """def f(xs):
    xs.clear()
    return []
""",
    ),
]
"""(entry point, test code, a program that must not pass it, and must be scored)."""

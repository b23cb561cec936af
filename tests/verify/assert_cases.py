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
assert f([a,a]) == [[5],[5]] and a==[1]
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
]
"""(entry point, test code, a program that must not pass it, and must be scored)."""

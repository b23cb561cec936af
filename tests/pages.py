"""What every report must hold up to."""

import json
import re


def figures_of(page):
    """{name: figure} of a report; each has a place to be drawn at, and nothing that a model wrote is markup."""
    found = json.loads(re.search(r"^const figures = (\{.*\});$", page, re.MULTILINE)[1])
    assert found
    for name, figure in found.items():
        assert f'id="chart-{name}"' in page and figure["data"], name
    nonces = re.findall(r"<script([^>]*)>", re.sub(r"(?s)(<script nonce[^>]*>).*?</script>", r"\1</script>", page))
    assert nonces and all(one.startswith(' nonce="') for one in nonces)
    return found

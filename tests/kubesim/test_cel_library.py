"""Kubernetes' functions in CEL, by what its documents promise of them."""

import pytest

from poolwright.kubesim import cel
from poolwright.kubesim.cel_type import DYN

OBJECT = {"memory": "1Gi", "numbers": [3, 1, 2], "words": ["a", "b", "a"], "name": "web-1"}

TRUE = [
    "object.numbers.sum() == 6 && [1.5, 0.5].sum() == 2.0 && [].sum() == 0",
    "object.numbers.min() == 1 && object.numbers.max() == 3",
    "[1, 1, 2].isSorted() && !object.numbers.isSorted() && ['a', 'b'].isSorted()",
    "object.words.indexOf('a') == 0 && object.words.lastIndexOf('a') == 2",
    "object.words.indexOf('c') == -1 && 'abcb'.indexOf('b') == 1",
    "'abc 123 456'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    "quantity(object.memory).isGreaterThan(quantity('500Mi'))",
    "quantity('1') == quantity('1000m') && quantity('2k').compareTo(quantity('2000')) == 0",
    "quantity('1').add(quantity('500m')).sub(1).isLessThan(quantity('600m'))",
    "quantity('50k').asInteger() == 50000 && !quantity('500m').isInteger()",
    "quantity('-1').sign() == -1 && quantity('1500m').asApproximateFloat() == 1.5",
    "isQuantity('1.3Gi') && !isQuantity('1,3') && !isQuantity('a')",
    "isURL('https://user@example.com:80/path') && !isURL('../relative')",
    "url('https://example.com:80/a%20b?k=1&k=2').getHost() == 'example.com:80'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
    "url('/a?k=1&k=2').getQuery()['k'] == ['1', '2'] && url('/a').getScheme() == ''",
    "isIP('::1') && !isIP('127.0.0.256') && ip('127.0.0.1').family() == 4",
    "ip('::1').isLoopback() && ip('8.8.8.8').isGlobalUnicast() && ip.isCanonical('::1')",
    "ip('169.254.1.1').isLinkLocalUnicast() && ip('224.0.0.5').isLinkLocalMulticast()",
    "!ip.isCanonical('0:0::1') && string(ip('0:0::1')) == '::1'",
    "cidr('192.168.0.0/24').containsIP('192.168.0.7')",
    "cidr('192.168.0.0/24').containsIP(ip('192.168.0.7'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !isCIDR('10.0.0.0')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').prefixLength() == 8",
    "cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
    "semver('1.2.3').major() == 1 && semver('1.2.3-rc.1').isLessThan(semver('1.2.3'))",
    "isSemver('1.2.3') && !isSemver('v1.2') && isSemver('v1.2', true)",
    "!format.dns1123Label().validate(object.name).hasValue()",
    "format.dns1123Label().validate('A').value().size() == 1",
    "format.named('uuid').hasValue() && !format.named('nothing').hasValue()",
    "object.numbers.sort() == [1, 2, 3] && object.numbers.reverse() == [2, 1, 3]",
    "object.words.distinct() == ['a', 'b'] && object.words.slice(1, 3) == ['b', 'a']",
    "[[1], [2, [3]]].flatten() == [1, 2, [3]] && [[1], [2, [3]]].flatten(2) == [1, 2, 3]",
    "sets.contains(object.words, ['b']) && !sets.contains(['b'], object.words)",
    "sets.equivalent(object.words, ['b', 'a']) && sets.intersects([1, 2], object.numbers)",
    "lists.range(3) == [0, 1, 2]",
    "string(1) == '1' && {'a': 1}['a'] == 1 && optional.of(1).hasValue()",
]


@pytest.mark.parametrize("expression", TRUE)
def test_what_holds(expression):
    assert cel.evaluate(expression, {"object": OBJECT}) is True


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("quantity('x') == quantity('1')", "quantities must match the regular expression"),
        ("quantity('500m').asInteger() == 1", "cannot convert value to integer"),
        ("[].min() == 1", "min called on empty list"),
        ("ip('x').family() == 4", 'IP Address "x" parse error during conversion from string'),
        ("url('x').getHost() == ''", "invalid URI for request"),
        ("quantity('1').isLoopback()", "no such overload"),
        ("[1, 2].slice(1, 3) == []", "cannot slice(1, 3), list is length 2"),
        ("lists.range(1000001).size() == 0", "operation cancelled: actual cost limit exceeded"),
        ("lists.range(1001).distinct() == []", "operation cancelled: actual cost limit exceeded"),
        (
            "sets.contains(lists.range(1001), lists.range(1000))",
            "operation cancelled: actual cost limit exceeded",
        ),
        (
            "sets.intersects(lists.range(1001), lists.range(1000))",
            "operation cancelled: actual cost limit exceeded",
        ),
        ("'a'.find('(') == ''", "Illegal regex: missing ): ("),
    ],
)
def test_what_has_no_value(expression, said):
    with pytest.raises(cel.CelError) as refused:
        cel.evaluate(expression, {"object": OBJECT})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("authorizer.group('').resource('pods').check('get').allowed()", "undeclared reference"),
        ("params.x == 1", "undeclared reference to 'params' (in container '')"),
        ("nothing('x')", "undeclared reference to 'nothing'"),
        ("quantity(1)", "found no matching overload for 'quantity' applied to '(int)'"),
        ("quantity('1') > quantity('2')", "found no matching overload for '_>_'"),
    ],
)
def test_what_cannot_be_compiled(expression, said):
    with pytest.raises(cel.CelError) as refused:
        cel.check(expression, {"object": DYN})
    assert said in str(refused.value)


def test_a_pattern_takes_no_longer_than_its_text():
    """Python's own patterns would not be through with this one today."""
    assert cel.evaluate(f"'{'a' * 60}b'.find('(a+)+$')", {}) == ""


def test_loops_end():
    items = list(range(600))
    with pytest.raises(cel.CelError) as refused:
        cel.evaluate("object.all(a, object.all(b, a + b >= 0))", {"object": items})
    assert str(refused.value) == "operation cancelled: actual cost limit exceeded"

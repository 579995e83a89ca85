"""Addresses of servers as operators write them."""

import pytest

from inference.engines.triton.channel import parse_url


@pytest.mark.parametrize(
    ("url", "target", "secure"),
    [
        ("grpc://triton", "triton:8001", False),
        ("grpc://triton:9001/", "triton:9001", False),
        ("grpcs://triton.hospital.example:443", "triton.hospital.example:443", True),
        ("grpc://10.0.0.7:8001", "10.0.0.7:8001", False),
        ("grpc://[fd00::7]:8001", "[fd00::7]:8001", False),
    ],
)
def test_an_address_is_host_and_port(url: str, target: str, secure: bool) -> None:
    """The port is Triton's own where none is said; what is read prints as it would be written."""
    address = parse_url(url)
    assert (address.target, address.secure) == (target, secure)
    assert parse_url(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "triton:8001",
        "http://triton:8000",
        "grpc://",
        "grpc://:8001",
        "grpc://triton:0",
        "grpc://triton:65536",
        "grpc://triton:eight",
        "grpc://triton:8001/v2",
        "grpc://user@triton:8001",
        "grpc://triton:8001?x=1",
        "grpc://[fd00::7",
        "grpc://tri ton:8001",
    ],
)
def test_anything_else_is_refused_with_a_sentence(url: str) -> None:
    """ValueError, which the settings turn into file, line and column."""
    with pytest.raises(ValueError, match="write grpc://host:8001"):
        parse_url(url)

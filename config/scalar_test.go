package config

import (
	"math"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseAddr(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "10.255.255.255", "223.255.255.255", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1"} {
		got, f := parseAddr(s)
		if f != nil || got != netip.MustParseAddr(s) {
			t.Errorf("%s: got %v, %v", s, got, f)
		}
	}
	for s, message := range map[string]string{
		"":                 "is not an IP address",
		"192.0.2":          "is not an IP address",
		"192.0.2.01":       "is not an IP address",
		" 192.0.2.1":       "is not an IP address",
		"192.0.2.1/32":     "is a prefix, not an address",
		"2001:db8::/32":    "is a prefix, not an address",
		"::":               "is the unspecified address",
		"::1":              "is a loopback address",
		"127.255.255.255":  "is a loopback address",
		"239.0.0.1":        "is a multicast address",
		"fe80::1":          "is a link-local address",
		"fe80::1%eth0":     "has a zone",
		"2001:db8::1%eth0": "has a zone",
		"::ffff:127.0.0.1": "is an IPv4-mapped IPv6 address",
	} {
		got, f := parseAddr(s)
		if f == nil || f.message != message || f.remedy == "" || got.IsValid() {
			t.Errorf("%q: got %v, %+v, want %s", s, got, f, message)
		}
	}
}

// TestParsePrefix draws any prefix: it is accepted without bits behind its length, and else the remedy is the accepted form.
func TestParsePrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var addr netip.Addr
		if rapid.Bool().Draw(t, "v6") {
			raw := rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(t, "bytes")
			addr = netip.AddrFrom16([16]byte(append([]byte{0x20}, raw...)))
		} else {
			addr = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")))
		}
		prefix := netip.PrefixFrom(addr, rapid.IntRange(0, addr.BitLen()).Draw(t, "bits"))
		got, f := parsePrefix(prefix.String())
		switch canonical := prefix == prefix.Masked(); {
		case canonical && (f != nil || got != prefix):
			t.Fatalf("%s: got %v, %+v", prefix, got, f)
		case !canonical && (f == nil || f.remedy != "write "+prefix.Masked().String()):
			t.Fatalf("%s: got %v, %+v", prefix, got, f)
		}
	})
}

func TestParsePrefixRefuses(t *testing.T) {
	for s, message := range map[string]string{
		"":                   "is not a prefix",
		"192.0.2.0/33":       "is not a prefix",
		"192.0.2.0/":         "is not a prefix",
		"fe80::%eth0/64":     "is not a prefix",
		"fe80::%eth0":        "is not a prefix",
		"192.0.2.0":          "has no prefix length",
		"2001:db8::":         "has no prefix length",
		"::ffff:10.0.0.0/96": "is an IPv4-mapped IPv6 prefix",
	} {
		got, f := parsePrefix(s)
		if f == nil || f.message != message || f.remedy == "" || got.IsValid() {
			t.Errorf("%q: got %v, %+v, want %s", s, got, f, message)
		}
	}
}

func TestParseDuration(t *testing.T) {
	l := &limits{min: int64(time.Second), max: int64(time.Hour), step: 1, minText: "1s", maxText: "1h"}
	for s, want := range map[string]time.Duration{
		"1s": time.Second, "1h": time.Hour, "60m": time.Hour, "1m30s": 90 * time.Second, "1.5s": 1500 * time.Millisecond, "1000ms": time.Second,
	} {
		if got, f := parseDuration(s, l); f != nil || got != want {
			t.Errorf("%s: got %v, %+v", s, got, f)
		}
	}
	for s, message := range map[string]string{
		"": "is not a duration", "1 s": "is not a duration", "1d": "is not a duration", "-5": "is not a duration",
		"5": "has no unit", "999ms": "is out of range", "61m": "is out of range", "-1m": "is out of range", "0": "is out of range",
		"9999999h": "is not a duration",
	} {
		if got, f := parseDuration(s, l); f == nil || f.message != message || got != 0 {
			t.Errorf("%q: got %v, %+v, want %s", s, got, f, message)
		}
	}
	if got, f := parseDuration("-1h", nil); f != nil || got != -time.Hour {
		t.Errorf("without limits: got %v, %+v", got, f)
	}
}

// TestParseInt draws numbers and limits and compares with the definition of being inside.
func TestParseInt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.Int64Range(1, 64).Draw(t, "step")
		low := step * rapid.Int64Range(0, 100).Draw(t, "min")
		high := low + step*rapid.Int64Range(0, 100).Draw(t, "steps")
		l := &limits{min: low, max: high, step: step, minText: strconv.FormatInt(low, 10), maxText: strconv.FormatInt(high, 10)}
		n := rapid.OneOf(rapid.Int64Range(low-step, high+step), rapid.Int64(), rapid.Just(int64(math.MinInt64))).Draw(t, "n")
		got, f := parseInt(strconv.FormatInt(n, 10), l)
		if inside := n >= low && n <= high && n%step == 0; inside != (f == nil) {
			t.Fatalf("%d in %s by %d: got %d, %+v", n, l, step, got, f)
		} else if inside && got != n {
			t.Fatalf("got %d, want %d", got, n)
		}
	})
}

func TestParseIntNotation(t *testing.T) {
	if got, f := parseInt("-9223372036854775808", nil); f != nil || got != math.MinInt64 {
		t.Errorf("without limits: got %d, %+v", got, f)
	}
	for s, message := range map[string]string{
		"": "is not a whole number", "-": "is not a whole number", "+1": "is not a whole number", "1_000": "is not a whole number",
		"0o17": "is not a whole number", "1e3": "is not a whole number", "1.0": "is not a whole number", ".inf": "is not a whole number",
		"00": "begins with 0", "-01": "begins with 0", "9223372036854775808": "is out of range",
	} {
		if got, f := parseInt(s, nil); f == nil || f.message != message || got != 0 {
			t.Errorf("%q: got %d, %+v, want %s", s, got, f, message)
		}
	}
}

func TestNearest(t *testing.T) {
	l := &limits{min: 64, max: 64512, step: 64, minText: "64", maxText: "64512"}
	for s, want := range map[string]string{
		"1": "use 64", "63": "use 64", "65": "use 64 or 128", "1000": "use 960 or 1024", "64511": "use 64448 or 64512", "64513": "use 64512",
	} {
		if _, f := parseInt(s, l); f == nil || f.remedy != want {
			t.Errorf("%s: got %+v, want %s", s, f, want)
		}
	}
}

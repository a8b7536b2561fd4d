package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// fault is a problem that does not know its place yet.
type fault struct{ message, remedy string }

// parseAddr reads the address of an endpoint: unicast, routable, in its plain form.
func parseAddr(s string) (netip.Addr, *fault) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if p, err := netip.ParsePrefix(s); err == nil {
			return a, &fault{"is a prefix, not an address", fmt.Sprintf("write %s", p.Addr())}
		}
		return a, &fault{"is not an IP address", "write an IPv4 address like 192.0.2.1 or an IPv6 address like 2001:db8::1"}
	}
	if f := unsuitable(a); f != nil {
		return netip.Addr{}, f
	}
	return a, nil
}

// unsuitable says why no endpoint can have the address.
func unsuitable(a netip.Addr) *fault {
	const remedy = "use a unicast address that can be routed"
	switch {
	case a.Zone() != "":
		return &fault{"has a zone", fmt.Sprintf("write it without %%%s; link-local addresses cannot be used", a.Zone())}
	case a.Is4In6():
		return &fault{"is an IPv4-mapped IPv6 address", fmt.Sprintf("write %s", a.Unmap())}
	case a.IsUnspecified():
		return &fault{"is the unspecified address", remedy}
	case a.IsLoopback():
		return &fault{"is a loopback address", remedy}
	case a.IsMulticast():
		return &fault{"is a multicast address", remedy}
	case a.IsLinkLocalUnicast():
		return &fault{"is a link-local address", remedy}
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return &fault{"is the broadcast address", remedy}
	}
	return nil
}

// parsePrefix reads a prefix without host bits.
func parsePrefix(s string) (netip.Prefix, *fault) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return p, &fault{"has no prefix length", fmt.Sprintf("write %s", netip.PrefixFrom(a, a.BitLen()))}
		}
		return p, &fault{"is not a prefix", "write an address and a length, like 192.0.2.0/24 or 2001:db8::/32"}
	case p.Addr().Is4In6():
		return netip.Prefix{}, &fault{"is an IPv4-mapped IPv6 prefix", "write it as an IPv4 prefix"}
	case p != p.Masked():
		return netip.Prefix{}, &fault{"has bits set behind its length", fmt.Sprintf("write %s", p.Masked())}
	}
	return p, nil
}

// parseMAC is [ParseMAC] with a remedy.
func parseMAC(s string) (MAC, *fault) {
	m, err := ParseMAC(s)
	if err != nil {
		return m, &fault{errMAC.Error(), `write six bytes in hexadecimal, like "52:54:00:00:00:0a"`}
	}
	return m, nil
}

// parseDuration reads a duration within the limits, if there are any.
func parseDuration(s string, l *limits) (time.Duration, *fault) {
	d, err := time.ParseDuration(s)
	if err != nil {
		if _, err := strconv.ParseUint(s, 10, 63); err == nil {
			return 0, &fault{"has no unit", fmt.Sprintf("write %ss if you mean seconds", s)}
		}
		return 0, &fault{"is not a duration", "write numbers with units, like 90s, 5m or 2h4m"}
	}
	if l != nil && (int64(d) < l.min || int64(d) > l.max) {
		return 0, &fault{"is out of range", fmt.Sprintf("use a duration in %s", l)}
	}
	return d, nil
}

// parseInt reads a decimal number within the limits. YAML 1.1 and 1.2 do not agree what 0100 is, so other notations are
// refused.
func parseInt(s string, l *limits) (int64, *fault) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, &fault{"is not a whole number", "write it with decimal digits only"}
	}
	if len(digits) > 1 && digits[0] == '0' {
		return 0, &fault{"begins with 0", "write a decimal number without leading zeros"}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	tooBig := err != nil
	switch {
	case l == nil && tooBig:
		return 0, &fault{"is out of range", "use a smaller number"}
	case l == nil:
		return n, nil
	case l.step > 1 && (tooBig || n < l.min || n > l.max || n%l.step != 0):
		message := fmt.Sprintf("is not a multiple of %d in %s", l.step, l)
		return 0, &fault{message, fmt.Sprintf("use %s", nearest(s[0] == '-', tooBig, n, l))}
	case tooBig || n < l.min || n > l.max:
		return 0, &fault{"is out of range", fmt.Sprintf("use a number in %s", l)}
	}
	return n, nil
}

// nearest names the valid values next to n, or next to a number that no int64 holds.
func nearest(negative, tooBig bool, n int64, l *limits) string {
	switch {
	case tooBig && negative, !tooBig && n < l.min:
		return l.minText
	case tooBig, n > l.max:
		return l.maxText
	}
	below := n - n%l.step
	return fmt.Sprintf("%d or %d", below, below+l.step)
}

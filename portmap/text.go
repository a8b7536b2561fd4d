package portmap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendText appends the block as the lock file has it, as in "45.86.152.23:1024-2047".
func (b Block) AppendText(dst []byte) ([]byte, error) {
	dst = b.Address.AppendTo(dst)
	dst = strconv.AppendUint(append(dst, ':'), uint64(b.First), 10)
	return strconv.AppendUint(append(dst, '-'), uint64(b.Last), 10), nil
}

// ParseBlock reads a block such as "45.86.152.23:1024-2047". The address is IPv4, and the ports lie in
// [FirstPort]-[LastPort], begin at a multiple of [Granule] and are a multiple of it long.
func ParseBlock(s string) (Block, error) {
	host, ports, _ := strings.Cut(s, ":")
	from, to, ok := strings.Cut(ports, "-")
	if !ok {
		return Block{}, fmt.Errorf("block %q is not of the form 192.0.2.1:1024-2047", s)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is4() {
		return Block{}, fmt.Errorf("block %q: %q is not an IPv4 address", s, host)
	}
	first, err1 := parseNumber(from, LastPort)
	last, err2 := parseNumber(to, LastPort)
	if err1 != nil || err2 != nil {
		return Block{}, fmt.Errorf("block %q: %q are not ports", s, ports)
	}
	if first < FirstPort || last < first || first%Granule != 0 || last%Granule != Granule-1 {
		return Block{}, fmt.Errorf("block %q: ports lie in %d-%d, begin at a multiple of %d and are a multiple of it long",
			s, FirstPort, LastPort, Granule)
	}
	return Block{Address: addr, First: uint16(first), Last: uint16(last)}, nil
}

// parseNumber reads a number from 1 to limit without sign, leading zeros or base prefix, which YAML versions read
// differently.
func parseNumber(s string, limit uint64) (uint64, error) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, limit)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, limit)
	}
	return n, nil
}

// appendName appends a key, quoted if YAML could read it as something else than a string.
func appendName(dst []byte, name string) []byte {
	if plain(name) {
		return append(dst, name...)
	}
	return strconv.AppendQuoteToASCII(dst, name)
}

// plain reports whether YAML (1.1 and 1.2) reads the name without quotes as itself.
func plain(name string) bool {
	if name == "" || !letter(name[0]) {
		return false
	}
	for i := 1; i < len(name); i++ {
		if c := name[i]; !letter(c) && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != '/' {
			return false
		}
	}
	if len(name) <= len("false") {
		switch strings.ToLower(name) {
		case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
			return false
		}
	}
	return true
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// cutName splits a line into its key and what follows the colon.
func cutName(line string) (name, rest string, err error) {
	if !strings.HasPrefix(line, `"`) {
		name, rest, ok := strings.Cut(line, ":")
		if !ok || !plain(name) {
			return "", "", fmt.Errorf("%q does not begin with a name and a colon", line)
		}
		return name, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", fmt.Errorf("%q: the quotes do not close", line)
	}
	name, err = strconv.Unquote(quoted)
	if err != nil || !utf8.ValidString(name) || strconv.QuoteToASCII(name) != quoted {
		return "", "", fmt.Errorf("name %s is not quoted the way this file is written", quoted)
	}
	rest, ok := strings.CutPrefix(line[len(quoted):], ":")
	if !ok {
		return "", "", fmt.Errorf("%q does not begin with a name and a colon", line)
	}
	return name, rest, nil
}

package script

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mistake is an error in the scenario itself. It ends the scenario also where a failure is wanted.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

func mistakef(format string, args ...any) error { return mistake{fmt.Errorf(format, args...)} }

func isMistake(err error) bool {
	var m mistake
	return errors.As(err, &m)
}

var optionForm = regexp.MustCompile(`^[a-z]+=`)

// options are the key=value arguments of a command.
type options map[string]string

// split takes the options with the given keys, and the bare words among them, out of the arguments.
func split(args []string, keys ...string) (rest []string, opts options, err error) {
	opts = options{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		switch {
		case optionForm.MatchString(a) && !slices.Contains(keys, key):
			return nil, nil, mistakef("unknown option %s; have %s", key, strings.Join(keys, ", "))
		case optionForm.MatchString(a), slices.Contains(keys, a):
			opts[key] = value
		default:
			rest = append(rest, a)
		}
	}
	return rest, opts, nil
}

func (o options) has(key string) bool { _, ok := o[key]; return ok }

func (o options) number(key string, otherwise int) (int, error) {
	if !o.has(key) {
		return otherwise, nil
	}
	return number(o[key])
}

func (o options) duration(key string, otherwise time.Duration) (time.Duration, error) {
	if !o.has(key) {
		return otherwise, nil
	}
	return duration(o[key])
}

func (o options) addr(key string) (netip.Addr, error) {
	if !o.has(key) {
		return netip.Addr{}, nil
	}
	return addr(o[key])
}

func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, mistakef("%q: want a number", s)
	}
	return int(n), nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, mistakef("%q: want a port", s)
	}
	return uint16(n), nil
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, mistakef("%q: want a time such as 5s", s)
	}
	return d, nil
}

func addr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, mistakef("%q: want an address", s)
	}
	return a, nil
}

func addrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, mistakef("%q: want an address with a port", s)
	}
	return a, nil
}

// portRange reads "2048-3071" or "2048".
func portRange(s string) (first, last uint16, err error) {
	a, b, two := strings.Cut(s, "-")
	if !two {
		b = a
	}
	if first, err = port(a); err == nil {
		last, err = port(b)
	}
	return first, last, err
}

// comparison is an operator with its right-hand side.
type comparison struct {
	op   string
	want int
}

func parseComparison(op, n string) (comparison, error) {
	want, err := number(n)
	if err == nil && !slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, op) {
		err = mistakef("%q: want one of == != < <= > >=", op)
	}
	return comparison{op, want}, err
}

func (c comparison) holds(got int) bool {
	switch c.op {
	case "==":
		return got == c.want
	case "!=":
		return got != c.want
	case "<":
		return got < c.want
	case "<=":
		return got <= c.want
	case ">":
		return got > c.want
	}
	return got >= c.want
}

// check is an error unless the comparison holds for what was found.
func (c comparison) check(what string, got int) error {
	if c.holds(got) {
		return nil
	}
	return fmt.Errorf("%s is %d, want %s %d", what, got, c.op, c.want)
}

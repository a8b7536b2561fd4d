package portmap

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// maxProblems is how many problems of a lock file are reported.
const maxProblems = 20

// Decode reads what [Encode] writes; name is the file's, for errors. It reads that subset of YAML line by line, with
// comments and blank lines anywhere, and refuses everything else: unknown fields, names that appear twice, blocks that
// [ParseBlock] refuses. Every problem is reported as "name:line: ...", up to 20. Whether the lock is right is for
// [Prove] to say.
func Decode(name string, data []byte) (*Lock, error) {
	d := &decoder{file: name, lock: NewLock(), seen: map[string]bool{}}
	rest := string(data)
	for rest != "" && len(d.errs) < maxProblems {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		d.number++
		d.line(strings.TrimSuffix(line, "\r"))
	}
	d.closeTenant()
	if len(d.errs) == 0 {
		for _, field := range [...]string{"version", "nextHost", "nextBackend"} {
			if !d.seen[field] {
				d.errs = append(d.errs, fmt.Errorf("%s: %s is missing; restore the file from version control", name, field))
			}
		}
	}
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return d.lock, nil
}

// decoder is the state between two lines.
type decoder struct {
	file   string
	number int // of the line, from 1
	lock   *Lock
	errs   []error
	seen   map[string]bool // fields of the document
	open   string          // the field of the document that is open: hosts or tenants
	tenant tenantDecoder
}

func (d *decoder) fail(format string, args ...any) {
	if len(d.errs) < maxProblems {
		d.errs = append(d.errs, fmt.Errorf("%s:%d: %w", d.file, d.number, fmt.Errorf(format, args...)))
	}
}

// line reads one line; its indentation says what it belongs to.
func (d *decoder) line(line string) {
	text := strings.TrimLeft(line, " ")
	if text == "" || text[0] == '#' {
		return
	}
	if strings.HasPrefix(line, "<<<<<<<") || strings.HasPrefix(line, "=======") || strings.HasPrefix(line, ">>>>>>>") {
		d.fail("%q is a merge conflict; take one side whole and run culvert allocate again", line)
		return
	}
	name, value, err := cutName(text)
	if err == nil && value != "" {
		var ok bool
		if value, ok = strings.CutPrefix(value, " "); !ok || value == "" {
			err = fmt.Errorf("%q needs one space after the colon", line)
		}
	}
	if err != nil {
		d.fail("%w", err)
		return
	}
	switch indent := len(line) - len(text); {
	case indent == 0:
		d.field(name, value)
	case indent == 2 && d.open == "hosts":
		d.host(name, value)
	case indent == 2 && d.open == "tenants":
		d.openTenant(name, value)
	case indent == 4 && d.tenant.name != "":
		d.openSection(name, value)
	case indent == 6 && d.tenant.section != "":
		d.entry(name, value)
	default:
		d.fail("%q is indented by %d spaces, which nothing above it calls for", line, indent)
	}
}

// field reads a field of the document.
func (d *decoder) field(name, value string) {
	d.closeTenant()
	d.open = ""
	if d.seen[name] {
		d.fail("%s appears twice", name)
	}
	d.seen[name] = true
	switch name {
	case "version":
		if n, ok := d.uint32(name, value); ok && n != Version {
			d.fail("version %d is not known, only %d; use the culvert that wrote the file, or a newer one", n, Version)
		}
	case "nextHost":
		n, _ := d.uint32(name, value)
		d.lock.NextHost = HostID(n)
	case "nextBackend":
		d.lock.NextBackend, _ = d.uint32(name, value)
	case "hosts", "tenants":
		d.open = name
		d.noValue(name, value)
	default:
		d.fail("unknown field %q", name)
	}
}

func (d *decoder) host(name, value string) {
	if _, twice := d.lock.Hosts[name]; twice {
		d.fail("host %s appears twice", name)
	}
	if id, ok := d.uint32(name, value); ok {
		d.lock.Hosts[name] = HostID(id)
	}
}

func (d *decoder) uint32(name, value string) (uint32, bool) {
	n, err := parseNumber(value, math.MaxUint32)
	if err != nil {
		d.fail("%s: %w", name, err)
		return 0, false
	}
	return uint32(n), true
}

func (d *decoder) noValue(name, value string) {
	if value != "" {
		d.fail("%s: %q is out of place; what belongs to %s stands on the lines below it", name, value, name)
	}
}

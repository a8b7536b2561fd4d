package portmap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Version is the version of the lock file's format that [Encode] writes and [Decode] reads.
const Version = 1

const header = `# Written by "culvert allocate" out of the fleet document. Do not edit, or hosts may disagree about who owns a port.
# Keep it under version control beside the fleet document, and review its changes like any other.
`

// The sections of a tenant.
const (
	sectionHosts             = "hosts"
	sectionInterfaces        = "interfaces"
	sectionRetiredHosts      = "retiredHosts"
	sectionRetiredInterfaces = "retiredInterfaces"
	sectionBackends          = "backends"
	fieldLastBackend         = "lastBackend"
	sectionFreedHosts        = "freedHosts"
	sectionFreedInterfaces   = "freedInterfaces"
)

// Encode returns the lock as the text of fleet.lock.yaml: one line for each claim's blocks, hosts and backends in the
// order of their numbers, everything else by name. Blocks that [ParseBlock] would refuse and names that are not UTF-8
// are errors.
func Encode(lock *Lock) ([]byte, error) {
	e := &encoder{buf: make([]byte, 0, 1024+64*lock.claims())}
	e.buf = append(e.buf, header...)
	e.number("version", Version, "")
	e.number("nextHost", uint32(max(lock.NextHost, 1)), "")
	e.number("nextBackend", max(lock.NextBackend, 1), "")
	if len(lock.Hosts) > 0 {
		e.open("hosts", "")
		byNumber(lock.Hosts, func(name string, id HostID) { e.number(name, uint32(id), "  ") })
	}
	opened := false
	for _, name := range slices.Sorted(maps.Keys(lock.Tenants)) {
		t := lock.Tenants[name]
		if t.empty() {
			continue
		}
		if !opened {
			e.open("tenants", "")
			opened = true
		}
		e.tenant(name, t)
	}
	if e.err != nil {
		return nil, fmt.Errorf("encode lock: %w", e.err)
	}
	return e.buf, nil
}

func (l *Lock) claims() int {
	n := len(l.Hosts)
	for _, t := range l.Tenants {
		n += len(t.Claims) + 2
	}
	return n
}

// encoder writes by hand: YAML libraries take minutes for a million lines.
type encoder struct {
	buf []byte
	err error // the first one
}

func (e *encoder) tenant(name string, t *Tenant) {
	e.open(name, "  ")
	e.claims(sectionHosts, t, func(c Claim) (string, []Block) { return c.Claimant.Host, c.Blocks })
	e.claims(sectionInterfaces, t, func(c Claim) (string, []Block) { return c.Claimant.Interface, c.Blocks })
	e.claims(sectionRetiredHosts, t, func(c Claim) (string, []Block) { return c.Claimant.Host, c.Retired })
	e.claims(sectionRetiredInterfaces, t, func(c Claim) (string, []Block) { return c.Claimant.Interface, c.Retired })
	if len(t.Backends) > 0 {
		e.open(sectionBackends, "    ")
		byNumber(t.Backends, func(name string, n uint32) { e.number(name, n, "      ") })
	}
	if t.LastBackend > 0 {
		e.number(fieldLastBackend, t.LastBackend, "    ")
	}
	e.freed(sectionFreedHosts, t.Freed, func(c Claimant) string { return c.Host })
	e.freed(sectionFreedInterfaces, t.Freed, func(c Claimant) string { return c.Interface })
}

// freed writes the section if get returns a name for any of the freed blocks: a line for each claimant, with the generation after an @.
func (e *encoder) freed(section string, freed []Freed, get func(Claimant) string) {
	byName := make(map[string][]Freed)
	for _, f := range freed {
		if name := get(f.Claimant); name != "" {
			byName[name] = append(byName[name], f)
		}
	}
	if len(byName) > 0 {
		e.open(section, "    ")
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		e.key(name, "      ")
		sep := " ["
		for _, f := range byName[name] {
			e.buf = append(e.buf, sep...)
			e.block(f.Block)
			if f.After != 0 {
				e.buf = strconv.AppendInt(append(e.buf, '@'), f.After, 10)
			}
			sep = ", "
		}
		e.buf = append(e.buf, "]\n"...)
	}
}

// claims writes the section if get returns a name and blocks for any claim.
func (e *encoder) claims(section string, t *Tenant, get func(Claim) (string, []Block)) {
	opened := false
	for _, c := range t.Claims {
		name, blocks := get(c)
		if name == "" || len(blocks) == 0 {
			continue
		}
		if !opened {
			e.open(section, "    ")
			opened = true
		}
		e.key(name, "      ")
		for i, b := range blocks {
			sep := ", "
			if i == 0 {
				sep = " ["
			}
			e.buf = append(e.buf, sep...)
			e.block(b)
		}
		e.buf = append(e.buf, "]\n"...)
	}
}

func (e *encoder) block(b Block) {
	from := len(e.buf)
	e.buf, _ = b.AppendText(e.buf)
	if !b.Address.Is4() || b.First < FirstPort || b.Last < b.First || b.First%Granule != 0 || b.Size()%Granule != 0 {
		_, err := ParseBlock(string(e.buf[from:]))
		e.err = cmp.Or(e.err, err)
	}
}

func (e *encoder) key(name, indent string) {
	if !utf8.ValidString(name) {
		e.err = cmp.Or(e.err, fmt.Errorf("name %q is not UTF-8", name))
	}
	e.buf = appendName(append(e.buf, indent...), name)
	e.buf = append(e.buf, ':')
}

func (e *encoder) open(name, indent string) {
	e.key(name, indent)
	e.buf = append(e.buf, '\n')
}

func (e *encoder) number(name string, n uint32, indent string) {
	if n == 0 {
		e.err = cmp.Or(e.err, fmt.Errorf("%s has number 0; numbers begin at 1", name))
	}
	e.key(name, indent)
	e.buf = strconv.AppendUint(append(e.buf, ' '), uint64(n), 10)
	e.buf = append(e.buf, '\n')
}

// byNumber calls f in the order of the numbers, equal ones by name.
func byNumber[N ~uint32](numbers map[string]N, f func(string, N)) {
	names := slices.Collect(maps.Keys(numbers))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(numbers[a], numbers[b]), cmp.Compare(a, b)) })
	for _, name := range names {
		f(name, numbers[name])
	}
}

package portmap

import (
	"math"
	"slices"
	"strings"
)

// tenantDecoder is the tenant that is being read.
type tenantDecoder struct {
	name    string
	section string
	seen    []string // sections
	entries []entry
	tenant  *Tenant
}

// entry is one line of a section with blocks.
type entry struct {
	who     Claimant
	retired bool
	blocks  []Block
	line    int
}

func (d *decoder) openTenant(name, value string) {
	d.closeTenant()
	d.noValue(name, value)
	if name == "" {
		d.fail("a tenant has no name")
		return
	}
	if d.lock.Tenants[name] != nil {
		d.fail("tenant %s appears twice", name)
	}
	d.tenant.name = name
	d.tenant.tenant = &Tenant{}
	d.lock.Tenants[name] = d.tenant.tenant
}

func (d *decoder) openSection(name, value string) {
	t := &d.tenant
	t.section = name
	switch name {
	case fieldLastBackend:
		t.section = "" // it has no lines
		t.tenant.LastBackend, _ = d.uint32(name, value)
	case sectionHosts, sectionInterfaces, sectionRetiredHosts, sectionRetiredInterfaces, sectionBackends, sectionFreedHosts, sectionFreedInterfaces:
		d.noValue(name, value)
	default:
		d.fail("tenant %s: unknown field %q", t.name, name)
	}
	if slices.Contains(t.seen, name) {
		d.fail("tenant %s: %s appears twice", t.name, name)
	}
	t.seen = append(t.seen, name)
}

// entry reads a line of a section.
func (d *decoder) entry(name, value string) {
	t := &d.tenant
	if name == "" {
		d.fail("tenant %s: a name in %s is empty", t.name, t.section)
		return
	}
	e := entry{line: d.number}
	switch t.section {
	case sectionBackends:
		d.backend(name, value)
		return
	case sectionFreedHosts:
		d.freed(Claimant{Host: name}, value)
		return
	case sectionFreedInterfaces:
		d.freed(Claimant{Interface: name}, value)
		return
	case sectionHosts:
		e.who.Host = name
	case sectionInterfaces:
		e.who.Interface = name
	case sectionRetiredHosts:
		e.who.Host, e.retired = name, true
	case sectionRetiredInterfaces:
		e.who.Interface, e.retired = name, true
	default:
		return // the section was reported
	}
	e.blocks = d.blocks(name, value)
	t.entries = append(t.entries, e)
}

func (d *decoder) backend(name, value string) {
	t := d.tenant.tenant
	if _, twice := t.Backends[name]; twice {
		d.fail("tenant %s: backend %s appears twice", d.tenant.name, name)
	}
	if t.Backends == nil {
		t.Backends = map[string]uint32{}
	}
	if n, ok := d.uint32(name, value); ok {
		t.Backends[name] = n
	}
}

// freed reads a list of blocks that were given up, such as "[45.86.152.23:1024-2047@1042]".
func (d *decoder) freed(who Claimant, value string) {
	var text []string
	t := d.tenant.tenant
	for _, f := range t.Freed {
		if f.Claimant == who {
			d.fail("tenant %s: what %s has freed appears twice", d.tenant.name, who)
			return
		}
	}
	list, closed := strings.CutSuffix(value, "]")
	var after []int64
	for _, item := range strings.Split(list, ", ") {
		block, generation, dated := strings.Cut(item, "@")
		n := uint64(0)
		if dated {
			var err error
			if n, err = parseNumber(generation, math.MaxInt64); err != nil {
				d.fail("%s: generation: %w", who, err)
			}
		}
		text, after = append(text, block), append(after, int64(n))
	}
	if closed {
		text[len(text)-1] += "]"
	}
	for i, b := range d.blocks(who.String(), strings.Join(text, ", ")) {
		t.Freed = append(t.Freed, Freed{b, who, after[i]})
	}
}

// blocks reads a list such as "[45.86.152.23:1024-2047, 45.86.152.23:4096-5119]".
func (d *decoder) blocks(name, value string) []Block {
	list, opened := strings.CutPrefix(value, "[")
	list, closed := strings.CutSuffix(list, "]")
	if !opened || !closed || list == "" {
		d.fail("%s: %q is not a list of blocks such as [192.0.2.1:1024-2047]", name, value)
		return nil
	}
	blocks := make([]Block, 0, 1+strings.Count(list, ","))
	for more := true; more; {
		var text string
		text, list, more = strings.Cut(list, ", ")
		b, err := ParseBlock(text)
		if err != nil {
			d.fail("%s: %w", name, err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// closeTenant turns the entries into claims.
func (d *decoder) closeTenant() {
	t := &d.tenant
	if t.tenant == nil {
		return
	}
	slices.SortFunc(t.tenant.Freed, compareFreed)
	if len(t.entries) == 0 && t.tenant.empty() {
		d.fail("tenant %s owns nothing; remove it", t.name)
	}
	byClaimant := func(a, b entry) int { return a.who.Compare(b.who) }
	if !slices.IsSortedFunc(t.entries, byClaimant) {
		slices.SortStableFunc(t.entries, byClaimant)
	}
	if len(t.entries) > 0 {
		t.tenant.Claims = make([]Claim, 0, len(t.entries))
	}
	for _, e := range t.entries {
		t.tenant.Claims = d.claim(t.tenant.Claims, e)
	}
	*t = tenantDecoder{entries: t.entries[:0], seen: t.seen[:0]}
}

// claim adds the entry to the claims, the last of which may be the same claimant's.
func (d *decoder) claim(claims []Claim, e entry) []Claim {
	n := len(claims) - 1
	if n < 0 || claims[n].Claimant != e.who {
		claims = append(claims, Claim{Claimant: e.who})
		n++
	}
	field := &claims[n].Blocks
	if e.retired {
		field = &claims[n].Retired
	}
	if *field != nil {
		line := d.number
		d.number = e.line
		d.fail("tenant %s: %s appears twice", d.tenant.name, e.who)
		d.number = line
	}
	*field = e.blocks
	return claims
}

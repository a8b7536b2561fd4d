package nft

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Plan is the way from the observed tables to the desired ones, for one transaction.
type Plan struct {
	// Lines say what changes, one line each, in nft's words.
	Lines []string
	steps []func(*transaction)
	// last are steps for a transaction of their own, when the flows have ended: which VMs are not here any more, which addresses are not
	// the tenant's, and, in the table that needs it for fragments alone, which ports are others'. If it does not come to that, the next
	// plan ends the flows again.
	last []func(*transaction)
	// unbound are VIPs, listeners with a backend ([binding.what]), ports and VMs ([Table.foreign]) whose flows end when the rules
	// have changed.
	unbound map[Family]map[string]bool
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.steps)+len(p.last) == 0 }

// String prints the lines.
func (p Plan) String() string {
	var b strings.Builder
	for _, l := range p.Lines {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

func (p *Plan) say(format string, args ...any) {
	p.Lines = append(p.Lines, fmt.Sprintf(format, args...))
}

func (p *Plan) do(step func(*transaction)) { p.steps = append(p.steps, step) }

// Diff plans the way from observed to desired. Elements are removed before others are added, so that a key can get other
// data; rules come last, when all that they name is there.
func Diff(observed, desired []Table) Plan {
	var p Plan
	for _, was := range observed {
		if find(desired, was.Family) == nil {
			p.say("- table %s %s", was.Family, TableName)
			p.do(func(t *transaction) { t.deleteTable(was.Family) })
		}
	}
	for _, want := range desired {
		was := find(observed, want.Family)
		switch {
		case was == nil:
			p.say("+ table %s %s", want.Family, TableName)
			p.do(func(t *transaction) { t.addTable(want.Family) })
			p.fill(Table{Family: want.Family}, want, Table{})
		case !evolves(*was, want):
			p.say("~ table %s %s: made anew", want.Family, TableName)
			p.do(func(t *transaction) { t.deleteTable(want.Family); t.addTable(want.Family) })
			p.fill(Table{Family: want.Family}, want, *was)
		default:
			if was.Dormant {
				p.say("~ table %s %s: awake", want.Family, TableName)
				p.do(func(t *transaction) { t.addTable(want.Family) }) // one that is there gets its flags
			}
			p.fill(p.replace(*was, want), want, *was)
		}
	}
	p.unbind(observed, desired)
	return p
}

func find(tables []Table, f Family) *Table {
	for i := range tables {
		if tables[i].Family == f {
			return &tables[i]
		}
	}
	return nil
}

// evolves reports whether the table can become the other without being made anew: no chain changes its hook. None comes or goes
// with its hook while a table awakes, which the kernel refuses or forgets about (nf_tables_updtable).
func evolves(was, want Table) bool {
	if was.Dormant && was.bases() != want.bases() {
		return false
	}
	for _, c := range want.Chains {
		old := was.chain(c.Name)
		if old != nil && baseText(*old) != baseText(c) {
			return false
		}
		// The device went and took the chain along; other rules of the table hold its old index.
		if old == nil && c.Base != nil && want.Family == NetdevFamily {
			return false
		}
	}
	return true
}

// Forget returns the tables as they are once the device has been made anew: without its chains, and with rules that forward
// to a device that is gone.
func Forget(tables []Table, device string) []Table {
	out := slices.Clone(tables)
	for i := range out {
		out[i].Chains = slices.DeleteFunc(slices.Clone(out[i].Chains), func(c Chain) bool { return c.Base != nil && c.Base.Device == device })
		for j := range out[i].Chains {
			rules := slices.Clone(out[i].Chains[j].Rules)
			for k := range rules {
				if rules[k].device == device {
					rules[k].Digest += staleSuffix
				}
			}
			out[i].Chains[j].Rules = rules
		}
	}
	return out
}

// bases are the chains with hooks, in order.
func (t Table) bases() string {
	var names []string
	for _, c := range t.Chains {
		if c.Base != nil {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func baseText(c Chain) string {
	if c.Base == nil {
		return ""
	}
	return c.Base.String()
}

// becomes reports whether the set can become the other: they have the same type, and room for the elements.
func (s Set) becomes(o Set) bool {
	return s.sameDynamics(o) && s.sameType(o) && len(o.Elements) <= s.room()
}

func (s Set) sameType(o Set) bool {
	return s.Key.String() == o.Key.String() && s.Data.String() == o.Data.String() && s.Range == o.Range
}

// without returns the table without the given sets.
func (t Table) without(sets []string) Table {
	t.Sets = slices.DeleteFunc(slices.Clone(t.Sets), func(s Set) bool { return slices.Contains(sets, s.Name) })
	return t
}

// replace plans the removal of sets whose successors have the same names. Nothing may use a set that goes: all rules go
// first, and come back in the same transaction. Counters stay.
func (p *Plan) replace(was, want Table) Table {
	var gone []string
	for _, s := range was.Sets {
		next := want.set(s.Name)
		if next == nil {
			continue
		}
		if next := fullest(was.Family, *next, s); !s.becomes(next) {
			p.say("~ %s set %s: made anew with room for %d", was.Family, s.Name, next.room())
			gone = append(gone, s.Name)
		}
	}
	if len(gone) == 0 {
		return was
	}
	for _, c := range was.Chains {
		p.do(func(t *transaction) { t.deleteRules(was.Family, c.Name) })
	}
	for _, name := range gone {
		p.do(func(t *transaction) { t.deleteSet(was.Family, name) })
	}
	return was.without(gone)
}

func (t Table) set(name string) *Set {
	for i := range t.Sets {
		if t.Sets[i].Name == name {
			return &t.Sets[i]
		}
	}
	return nil
}

func (t Table) chain(name string) *Chain {
	for i := range t.Chains {
		if t.Chains[i].Name == name {
			return &t.Chains[i]
		}
	}
	return nil
}

// fill plans the way from one table to the other, which can evolve from it. The table of before may have had sets that were removed.
func (p *Plan) fill(was, want, before Table) {
	f := want.Family
	emptied := len(was.Sets) < len(before.Sets)
	for _, c := range want.Counters {
		if !slices.Contains(was.Counters, c) {
			p.say("+ %s counter %s", f, c.Name)
			p.do(func(t *transaction) { t.addCounter(f, c) })
		}
	}
	p.sets(was, want, before)
	for _, c := range want.Chains {
		if was.chain(c.Name) == nil {
			p.say("+ %s chain %s", f, c.Name)
			p.do(func(t *transaction) { t.addChain(f, c) })
		}
	}
	for _, c := range want.Chains {
		p.rules(f, was.chain(c.Name), c, emptied)
	}
	for _, c := range was.Chains {
		if want.chain(c.Name) == nil {
			p.say("- %s chain %s", f, c.Name)
			p.do(func(t *transaction) { t.deleteRules(f, c.Name) })
		}
	}
	for _, c := range was.Chains {
		if want.chain(c.Name) == nil {
			p.do(func(t *transaction) { t.deleteChain(f, c.Name) })
		}
	}
	for _, s := range was.Sets {
		if want.set(s.Name) == nil {
			p.say("- %s set %s", f, s.Name)
			remove := func(t *transaction) { t.deleteSet(f, s.Name) }
			if s.remembers() {
				p.last = append(p.last, remove)
			} else {
				p.do(remove)
			}
		}
	}
	for _, c := range was.Counters {
		if !slices.Contains(want.Counters, c) {
			p.say("- %s counter %s", f, c.Name)
			p.do(func(t *transaction) { t.deleteCounter(f, c.Name) })
		}
	}
}

// sets plans the sets that are wanted.
func (p *Plan) sets(was, want, before Table) {
	f := want.Family
	for i, s := range want.Sets {
		known := before.set(s.Name)
		if known == nil || !known.sameType(s) {
			known = &Set{}
		}
		there := was.set(s.Name)
		if there == nil {
			p.say("+ %s set %s", f, s.Name)
			p.do(func(t *transaction) { t.addSet(f, fullest(f, s, *known), uint32(i)+1) })
			there = &Set{}
		}
		p.elements(f, *there, s, *known)
	}
}

// elements plans the way from one set's elements to the other's. The known ones are those of before, even if the set has been removed.
func (p *Plan) elements(f Family, there, want, known Set) {
	between := meanwhile(f, want, known)
	gone, added := changes(there, want)
	p.sayElements("-", f, want, gone)
	p.sayElements("+", f, want, added)
	p.steps = append(p.steps, move(f, there, between)...)
	p.last = append(p.last, move(f, between, want)...)
}

// remembers reports whether what is gone stays in the set until its flows have ended: the next plan knows it by that ([Table.foreign]).
func (s Set) remembers() bool { return s.Name == setSenders || s.Name == setPublics }

// meanwhile is the set as it is while flows end ([Plan.last]): what must not be forgotten before is still in it, what notes that it is
// done not yet.
func meanwhile(f Family, want, known Set) Set {
	between := want
	switch {
	case want.remembers():
		between.Elements = maps.Clone(want.Elements)
		maps.Copy(between.Elements, known.Elements)
	case f == IPv4Family && (want.Name == mapOwners || want.Name == setFreed):
		between.Elements = maps.Clone(want.Elements)
		maps.DeleteFunc(between.Elements, func(k, value string) bool {
			old, is := known.Elements[k]
			return !is || old != value
		})
	}
	return between
}

// fullest is the set when it has most elements, which it needs the room for.
func fullest(f Family, want, known Set) Set {
	if between := meanwhile(f, want, known); len(between.Elements) > len(want.Elements) {
		return between
	}
	return want
}

// changes are the elements that go and come on the way from one set to the other.
func changes(from, to Set) (gone, added []element) {
	if maps.Equal(from.Elements, to.Elements) {
		return nil, nil
	}
	for _, k := range from.sorted() {
		if value, stays := to.Elements[k]; !stays || value != from.Elements[k] {
			gone = append(gone, element{k, from.Elements[k]})
		}
	}
	for _, k := range to.sorted() {
		if value, is := from.Elements[k]; !is || value != to.Elements[k] {
			added = append(added, element{k, to.Elements[k]})
		}
	}
	return gone, added
}

// move takes elements out of a set and puts others in, so that it becomes the other.
func move(f Family, from, to Set) (steps []func(*transaction)) {
	gone, added := changes(from, to)
	if len(gone) > 0 {
		steps = append(steps, func(t *transaction) { t.deleteElements(f, to, gone) })
	}
	if len(added) > 0 {
		steps = append(steps, func(t *transaction) { t.addElements(f, to, added) })
	}
	return steps
}

// sayElements prints the first few of many.
func (p *Plan) sayElements(sign string, f Family, s Set, list []element) {
	const few = 4
	for i, e := range list {
		if i == few && len(list) > few+1 {
			p.say("%s %s %s { ... %d more }", sign, f, s.Name, len(list)-few)
			return
		}
		p.say("%s %s %s { %s }", sign, f, s.Name, s.element(e.key, e.value))
	}
}

// rules plans new rules for the chain if the digests differ, or if the plan has emptied the chain.
func (p *Plan) rules(f Family, was *Chain, want Chain, emptied bool) {
	if !emptied && was != nil && slices.EqualFunc(was.Rules, want.Rules, func(a, b Rule) bool { return a.Digest == b.Digest }) {
		return
	}
	if was != nil {
		p.do(func(t *transaction) { t.deleteRules(f, want.Name) })
		for _, r := range was.Rules {
			if !slices.ContainsFunc(want.Rules, func(w Rule) bool { return w.Digest == r.Digest }) {
				p.say("- %s %s: %s", f, want.Name, r)
			}
		}
	}
	for _, r := range want.Rules {
		if was == nil || !slices.ContainsFunc(was.Rules, func(w Rule) bool { return w.Digest == r.Digest }) {
			p.say("+ %s %s: %s", f, want.Name, r.Text)
		}
		p.do(func(t *transaction) { t.addRule(f, want.Name, r) })
	}
}

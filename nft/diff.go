package nft

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is the way from the observed tables to the desired ones, for one transaction.
type Plan struct {
	// Lines say what changes, one line each, in nft's words.
	Lines []string
	steps []func(*transaction)
	// last are steps for a transaction of their own, when the flows have ended: which VMs are not here any more, and, in the table
	// that needs it for fragments alone, which ports are others'. If it does not come to that, the next plan ends the flows again.
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
			p.fill(Table{Family: want.Family}, want)
		case !evolves(*was, want):
			p.say("~ table %s %s: made anew", want.Family, TableName)
			p.do(func(t *transaction) { t.deleteTable(want.Family); t.addTable(want.Family) })
			p.fill(Table{Family: want.Family}, want)
		default:
			if was.Dormant {
				p.say("~ table %s %s: awake", want.Family, TableName)
				p.do(func(t *transaction) { t.addTable(want.Family) }) // one that is there gets its flags
			}
			p.fill(*was, want)
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
	return s.sameDynamics(o) && s.Key.String() == o.Key.String() && s.Data.String() == o.Data.String() && s.Range == o.Range && len(o.Elements) <= s.room()
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
		if next := want.set(s.Name); next != nil && !s.becomes(*next) {
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
		p.say("~ %s set %s: made anew with room for %d", was.Family, name, want.set(name).room())
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

// fill plans the way from one table to the other, which can evolve from it.
func (p *Plan) fill(was, want Table) {
	f := want.Family
	sets := len(was.Sets)
	was = p.replace(was, want)
	emptied := len(was.Sets) < sets
	for _, c := range want.Counters {
		if !slices.Contains(was.Counters, c) {
			p.say("+ %s counter %s", f, c.Name)
			p.do(func(t *transaction) { t.addCounter(f, c) })
		}
	}
	for i, s := range want.Sets {
		old := was.set(s.Name)
		if old == nil {
			p.say("+ %s set %s", f, s.Name)
			p.do(func(t *transaction) { t.addSet(f, s, uint32(i)+1) })
			old = &Set{}
		}
		p.elements(f, *old, s)
	}
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
			p.do(func(t *transaction) { t.deleteSet(f, s.Name) })
		}
	}
	for _, c := range was.Counters {
		if !slices.Contains(want.Counters, c) {
			p.say("- %s counter %s", f, c.Name)
			p.do(func(t *transaction) { t.deleteCounter(f, c.Name) })
		}
	}
}

// elements plans the way from one set's elements to the other's.
func (p *Plan) elements(f Family, was, want Set) {
	var gone, added []element
	for _, k := range was.sorted() {
		if value, stays := want.Elements[k]; !stays || value != was.Elements[k] {
			gone = append(gone, element{k, was.Elements[k]})
		}
	}
	for _, k := range want.sorted() {
		if value, known := was.Elements[k]; !known || value != want.Elements[k] {
			added = append(added, element{k, want.Elements[k]})
		}
	}
	p.sayElements("-", f, want, gone)
	p.sayElements("+", f, want, added)
	if len(gone) > 0 {
		remove := func(t *transaction) { t.deleteElements(f, want, gone) }
		if want.Name == setSenders {
			p.last = append(p.last, remove)
		} else {
			p.do(remove)
		}
	}
	if len(added) > 0 {
		add := func(t *transaction) { t.addElements(f, want, added) }
		if f == IPv4Family && (want.Name == mapOwners || want.Name == setFreed) {
			p.last = append(p.last, add)
		} else {
			p.do(add)
		}
	}
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

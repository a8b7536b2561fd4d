package nft

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Conn reads and writes the tables of one namespace. It is not for concurrent use.
type Conn struct {
	ns *netns.NS
	// reader is the library's, writer is ours: the library cannot put an expression of ours into its transactions.
	reader *nftables.Conn
	writer *netlink.Conn
	// observed is the generation that Observe has read last.
	observed uint32
}

// Dial opens the netfilter sockets of a namespace, which stays open until Close; it is the caller's.
func Dial(ns *netns.NS) (*Conn, error) {
	reader, err := nftables.New(nftables.WithNetNSFd(ns.Fd()), nftables.AsLasting(), nftables.WithSockOptions(lowDescriptor))
	if err != nil {
		return nil, fmt.Errorf("open a netfilter socket in %s: %w", ns.Name(), err)
	}
	writer, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.Fd()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a netfilter socket in %s: %w", ns.Name(), err), reader.CloseLasting())
	}
	// Errors then say what the kernel did not like; without it there is just a number.
	if err := writer.SetOption(netlink.ExtendedAcknowledge, true); err != nil {
		return nil, errors.Join(err, reader.CloseLasting(), writer.Close())
	}
	return &Conn{ns: ns, reader: reader, writer: writer}, nil
}

// ErrDescriptors is returned by [Dial] in a process with so many open files that the library could not wait on its socket.
var ErrDescriptors = errors.New("too many open files in this process for a netfilter socket")

// lowDescriptor refuses a socket that the library would panic on: it waits with select(2), which knows 1024 descriptors.
func lowDescriptor(c *netlink.Conn) error {
	return control(c, func(fd int) error {
		if fd >= unix.FD_SETSIZE {
			return fmt.Errorf("%w: descriptor %d, want one below %d", ErrDescriptors, fd, unix.FD_SETSIZE)
		}
		return nil
	})
}

// Close gives the sockets back.
func (c *Conn) Close() error { return errors.Join(c.reader.CloseLasting(), c.writer.Close()) }

// Apply carries out the plan in one transaction: on an error nothing has changed. Then it ends flows that must not go on ([Plan]):
// of virtual IPs that stand for another private address now, or for none, and of backends that are gone, which are not tried again
// if that fails; and of ports that others have now, or nobody, and of addresses and VMs that are gone, where a second transaction notes
// that it is done.
func (c *Conn) Apply(p Plan) error {
	t := transaction{index: c.index}
	for _, step := range p.steps {
		step(&t)
	}
	if err := t.commit(c.writer); err != nil {
		return err
	}
	var errs []error
	for f, gone := range p.unbound {
		errs = append(errs, c.endFlows(f, gone))
	}
	if err := errors.Join(errs...); err != nil || len(p.last) == 0 {
		return err
	}
	t = transaction{index: c.index}
	for _, step := range p.last {
		step(&t)
	}
	return t.commit(c.writer)
}

// Observe reads our tables. Of rules it returns what [Conn.Apply] noted in them: text and digest, not the bytecode.
// What somebody changes meanwhile is read again: a listing comes in pieces, and the kernel does not say that they differ in
// age. The error is [ErrChanging] if that does not end.
func (c *Conn) Observe() ([]Table, error) {
	for range 20 {
		before, err := c.reader.GetGen()
		if err != nil {
			return nil, fmt.Errorf("read the generation of the rules: %w", err)
		}
		if err := c.letFinish(); err != nil {
			return nil, err
		}
		tables, problem := c.tables()
		after, err := c.reader.GetGen()
		if err != nil {
			return nil, fmt.Errorf("read the generation of the rules: %w", err)
		}
		if before.ID == after.ID {
			c.observed = after.ID
			return tables, problem
		}
	}
	return nil, ErrChanging
}

// letFinish waits for a transaction that is under way. The kernel counts the new generation first, and takes out old elements and rules
// after that (nf_tables_commit): a listing in between skips others. An empty batch changes nothing and waits for the same lock, and
// what is sent has been dealt with.
func (c *Conn) letFinish() error {
	if _, err := c.writer.SendMessages([]netlink.Message{batchMark(unix.NFNL_MSG_BATCH_BEGIN), batchMark(unix.NFNL_MSG_BATCH_END)}); err != nil {
		return fmt.Errorf("wait for changes of the rules that are under way: %w", err)
	}
	return nil
}

// ErrChanging says that the rules change faster than they can be read.
var ErrChanging = errors.New("somebody else changes rules faster than they can be read; look for another program that writes nftables")

func (c *Conn) tables() ([]Table, error) {
	tables, err := c.reader.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var out []Table
	for _, t := range tables {
		if t.Name != TableName {
			continue
		}
		table, err := c.table(t)
		if err != nil {
			return nil, fmt.Errorf("read table %s %s: %w", Family(t.Family), t.Name, err)
		}
		out = append(out, table)
	}
	return out, nil
}

func (c *Conn) table(t *nftables.Table) (Table, error) {
	out := Table{Family: Family(t.Family), Dormant: t.Flags&nftables.TableFlagDormant != 0}
	counters, err := c.counters(t)
	if err != nil {
		return out, err
	}
	for name := range counters {
		out.Counters = append(out.Counters, Counter{name})
	}
	sets, err := c.reader.GetSets(t)
	if err != nil {
		return out, err
	}
	for _, s := range sets {
		set := Set{Name: s.Name, Key: typeOf(s.KeyType), Range: s.DataInterval, Counted: s.Name == setPeers, size: int(s.Size), Elements: make(map[string]string)}
		if s.IsMap {
			set.Data = typeOf(s.DataType)
		}
		if s.Dynamic {
			set.Timeout = s.Timeout
			out.Sets = append(out.Sets, set)
			continue
		}
		elements, err := c.reader.GetSetElements(s)
		if err != nil {
			return out, fmt.Errorf("read set %s: %w", s.Name, err)
		}
		for _, e := range elements {
			value := string(e.Val)
			if set.Counted {
				value = e.Comment
			}
			set.Elements[string(e.Key)] = value
		}
		out.Sets = append(out.Sets, set)
	}
	chains, err := c.chains(out.Family)
	if err != nil {
		return out, err
	}
	for _, chain := range chains {
		rules, err := c.reader.GetRules(t, &nftables.Chain{Table: t, Name: chain.Name})
		if err != nil {
			return out, fmt.Errorf("read chain %s: %w", chain.Name, err)
		}
		for _, r := range rules {
			chain.Rules = append(chain.Rules, c.rule(r.UserData))
		}
		out.Chains = append(out.Chains, chain)
	}
	return out, nil
}

// rule reads a rule's notes. A rule that forwards to a device that has been made anew since gets a digest that no desired
// rule has: kernels from 6.13 on keep the chain of a device that goes and use it for the next one of that name, but the
// rule has the old device's index.
func (c *Conn) rule(data []byte) Rule {
	r, index := decodeNotes(data)
	if r.device != "" {
		if now, err := c.index(r.device); err != nil || now != index {
			r.Digest += staleSuffix
		}
	}
	return r
}

// Count is the value of a counter.
type Count struct{ Packets, Bytes uint64 }

// Counters reads all named counters of our tables in the namespace, by "family/name".
func (c *Conn) Counters() (map[string]Count, error) {
	tables, err := c.reader.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	out := make(map[string]Count)
	for _, t := range tables {
		if t.Name != TableName {
			continue
		}
		counters, err := c.counters(t)
		if err != nil {
			return nil, err
		}
		for name, n := range counters {
			out[Family(t.Family).String()+"/"+name] = n
		}
	}
	return out, nil
}

func (c *Conn) counters(t *nftables.Table) (map[string]Count, error) {
	objects, err := c.reader.GetObjects(t)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	out := make(map[string]Count)
	for _, o := range objects {
		if o, ok := o.(*nftables.CounterObj); ok {
			out[o.Name] = Count{Packets: o.Packets, Bytes: o.Bytes}
		}
	}
	return out, nil
}

// typeOf reads a type back; nil for one that is not ours.
func typeOf(d nftables.SetDatatype) Type {
	var t Type
	for _, name := range strings.Split(d.Name, " . ") {
		at := -1
		for f := range fields {
			if fields[f].typ.Name == name {
				at = f
			}
		}
		if at < 0 {
			return nil
		}
		t = append(t, Field(at))
	}
	return t
}

package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// transaction collects the messages of one nfnetlink batch: the kernel makes all of it true at once, or nothing
// (linux/netfilter/nfnetlink.c).
type transaction struct {
	messages []netlink.Message
	// labels say in words what each message does.
	labels []string
	index  func(device string) (int, error)
	err    error
}

// maxElements is how many elements go into one message: their list is one attribute, whose length has 16 bits.
const maxElements = 500

func attribute(typ uint16, data []byte) netlink.Attribute {
	return netlink.Attribute{Type: typ, Data: data}
}

func text(typ uint16, s string) netlink.Attribute { return attribute(typ, append([]byte(s), 0)) }

func number(typ uint16, n uint32) netlink.Attribute {
	return attribute(typ, binaryutil.BigEndian.PutUint32(n))
}

func (t *transaction) nested(typ uint16, attrs ...netlink.Attribute) netlink.Attribute {
	return attribute(unix.NLA_F_NESTED|typ, t.marshal(attrs))
}

func (t *transaction) marshal(attrs []netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(attrs)
	t.err = errors.Join(t.err, err)
	return b
}

// header is struct nfgenmsg.
func header(family Family, resource uint16) []byte {
	return append([]byte{byte(family), unix.NFNETLINK_V0}, binaryutil.BigEndian.PutUint16(resource)...)
}

func (t *transaction) add(label string, typ int, flags netlink.HeaderFlags, family Family, attrs ...netlink.Attribute) {
	t.messages = append(t.messages, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ), Flags: netlink.Request | flags},
		Data:   append(header(family, 0), t.marshal(attrs)...),
	})
	t.labels = append(t.labels, label)
}

func (t *transaction) addTable(f Family) {
	t.add("add table "+f.String(), unix.NFT_MSG_NEWTABLE, netlink.Create, f, text(unix.NFTA_TABLE_NAME, TableName), number(unix.NFTA_TABLE_FLAGS, 0))
}

func (t *transaction) deleteTable(f Family) {
	t.add("delete table "+f.String(), unix.NFT_MSG_DELTABLE, 0, f, text(unix.NFTA_TABLE_NAME, TableName))
}

func (t *transaction) addCounter(f Family, c Counter) {
	t.add("add counter "+c.Name, unix.NFT_MSG_NEWOBJ, netlink.Create, f,
		text(unix.NFTA_OBJ_TABLE, TableName), text(unix.NFTA_OBJ_NAME, c.Name), number(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER),
		t.nested(unix.NFTA_OBJ_DATA))
}

func (t *transaction) deleteCounter(f Family, name string) {
	t.add("delete counter "+name, unix.NFT_MSG_DELOBJ, 0, f,
		text(unix.NFTA_OBJ_TABLE, TableName), text(unix.NFTA_OBJ_NAME, name), number(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER))
}

func (t *transaction) addSet(f Family, s Set, id uint32) {
	key := s.Key.datatype()
	attrs := []netlink.Attribute{
		text(unix.NFTA_SET_TABLE, TableName), text(unix.NFTA_SET_NAME, s.Name), number(unix.NFTA_SET_ID, id),
		number(unix.NFTA_SET_KEY_TYPE, key.GetNFTMagic()), number(unix.NFTA_SET_KEY_LEN, uint32(s.Key.size())),
	}
	var notes []byte // libnftnl's notes to nft(8), which the kernel keeps for it (NFTNL_UDATA_SET_*)
	note := func(typ byte, value uint32) {
		notes = append(append(notes, typ, 4), binaryutil.NativeEndian.PutUint32(value)...)
	}
	const keyByteOrder, dataByteOrder, hostOrder, dataInterval = 0, 1, 1, 6
	if s.Key[0] == Mark || len(s.Key) == 1 && s.Key[0] == Device {
		note(keyByteOrder, hostOrder)
	}
	flags := uint32(0)
	if len(s.Data) > 0 {
		data, size := s.Data.datatype(), uint32(s.Data.size())
		flags = unix.NFT_SET_MAP
		if s.Data[0] == Mark {
			note(dataByteOrder, hostOrder)
		}
		if s.Range {
			size *= 2
			note(dataInterval, 1)
		}
		attrs = append(attrs, number(unix.NFTA_SET_DATA_TYPE, data.GetNFTMagic()), number(unix.NFTA_SET_DATA_LEN, size))
	}
	attrs = append(attrs, s.dynamicAttributes(&flags)...)
	if s.Counted {
		attrs = append(attrs, t.elementCounter(f))
	}
	attrs = append(attrs, number(unix.NFTA_SET_FLAGS, flags),
		t.nested(unix.NFTA_SET_DESC, number(unix.NFTA_SET_DESC_SIZE, uint32(s.room()))))
	if notes != nil {
		attrs = append(attrs, attribute(unix.NFTA_SET_USERDATA, notes))
	}
	t.add("add set "+s.Name, unix.NFT_MSG_NEWSET, netlink.Create, f, attrs...)
}

func (t *transaction) deleteSet(f Family, name string) {
	t.add("delete set "+name, unix.NFT_MSG_DELSET, 0, f, text(unix.NFTA_SET_TABLE, TableName), text(unix.NFTA_SET_NAME, name))
}

// element is an element on its way into or out of a set.
type element struct{ key, value string }

func (t *transaction) addElements(f Family, s Set, list []element) {
	t.elements("add to ", unix.NFT_MSG_NEWSETELEM, netlink.Create, f, s, list)
}

func (t *transaction) deleteElements(f Family, s Set, list []element) {
	t.elements("delete from ", unix.NFT_MSG_DELSETELEM, 0, f, s, list)
}

func (t *transaction) elements(label string, typ int, flags netlink.HeaderFlags, f Family, s Set, list []element) {
	for len(list) > 0 {
		n := min(len(list), maxElements)
		nested := make([]netlink.Attribute, n)
		for i, e := range list[:n] {
			attrs := []netlink.Attribute{t.nested(unix.NFTA_SET_ELEM_KEY, attribute(unix.NFTA_DATA_VALUE, []byte(e.key)))}
			switch {
			case e.value == "" || typ == unix.NFT_MSG_DELSETELEM: // the key says which one goes
			case s.Counted:
				attrs = append(attrs, elementName(e.value))
			default:
				attrs = append(attrs, t.nested(unix.NFTA_SET_ELEM_DATA, attribute(unix.NFTA_DATA_VALUE, []byte(e.value))))
			}
			nested[i] = t.nested(unix.NFTA_LIST_ELEM, attrs...)
		}
		t.add(fmt.Sprintf("%s%s the elements %s ...", label, s.Name, s.Key.format(list[0].key)), typ, flags, f,
			text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName), text(unix.NFTA_SET_ELEM_LIST_SET, s.Name),
			t.nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, nested...))
		list = list[n:]
	}
}

func (t *transaction) addChain(f Family, c Chain) {
	attrs := []netlink.Attribute{text(unix.NFTA_CHAIN_TABLE, TableName), text(unix.NFTA_CHAIN_NAME, c.Name)}
	if b := c.Base; b != nil {
		hook := []netlink.Attribute{number(unix.NFTA_HOOK_HOOKNUM, uint32(b.Hook)), number(unix.NFTA_HOOK_PRIORITY, uint32(b.Priority))}
		if b.Device != "" {
			hook = append(hook, text(unix.NFTA_HOOK_DEV, b.Device))
		}
		policy := verdictAccept
		if b.Drop {
			policy = verdictDrop
		}
		attrs = append(attrs, t.nested(unix.NFTA_CHAIN_HOOK, hook...), number(unix.NFTA_CHAIN_POLICY, policy), text(unix.NFTA_CHAIN_TYPE, b.Type))
	}
	t.add("add chain "+c.Name, unix.NFT_MSG_NEWCHAIN, netlink.Create, f, attrs...)
}

func (t *transaction) deleteChain(f Family, name string) {
	t.add("delete chain "+name, unix.NFT_MSG_DELCHAIN, 0, f, text(unix.NFTA_CHAIN_TABLE, TableName), text(unix.NFTA_CHAIN_NAME, name))
}

// deleteRules empties a chain.
func (t *transaction) deleteRules(f Family, chain string) {
	t.add("empty chain "+chain, unix.NFT_MSG_DELRULE, 0, f, text(unix.NFTA_RULE_TABLE, TableName), text(unix.NFTA_RULE_CHAIN, chain))
}

func (t *transaction) addRule(f Family, chain string, r Rule) {
	index := 0
	if r.device != "" {
		var err error
		if index, err = t.index(r.device); err != nil {
			t.err = errors.Join(t.err, fmt.Errorf("compile rule %q: %w", r.Text, err))
			return
		}
	}
	nested := make([]netlink.Attribute, len(r.expressions))
	for i, e := range r.expressions {
		code, err := e.encode(encoding{family: f, index: uint32(index)})
		if err != nil {
			t.err = errors.Join(t.err, fmt.Errorf("compile rule %q: %w", r.Text, err))
		}
		nested[i] = attribute(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, code)
	}
	t.add(fmt.Sprintf("add rule %q to chain %s", r.Text, chain), unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, f,
		text(unix.NFTA_RULE_TABLE, TableName), text(unix.NFTA_RULE_CHAIN, chain),
		t.nested(unix.NFTA_RULE_EXPRESSIONS, nested...), attribute(unix.NFTA_RULE_USERDATA, r.notes(index)))
}

// commit sends the batch and waits for the kernel's answer; the error names every message that was refused.
func (t *transaction) commit(c *netlink.Conn) error {
	if t.err != nil || len(t.messages) == 0 {
		return t.err
	}
	batch := make([]netlink.Message, 0, len(t.messages)+2)
	batch = append(batch, batchMark(unix.NFNL_MSG_BATCH_BEGIN))
	batch = append(batch, t.messages...)
	// Only the last message asks for an answer; those that are refused give one anyway.
	batch[len(batch)-1].Header.Flags |= netlink.Acknowledge
	batch = append(batch, batchMark(unix.NFNL_MSG_BATCH_END))
	size := 0
	for _, m := range batch {
		size += len(m.Data) + unix.NLMSG_HDRLEN + unix.NLMSG_ALIGNTO
	}
	if err := c.SetWriteBuffer(max(size, 1<<16)); err != nil {
		return fmt.Errorf("make room for %d bytes: %w", size, err)
	}
	sent, err := c.SendMessages(batch)
	if err != nil {
		return fmt.Errorf("send %d messages: %w", len(batch), err)
	}
	return t.answers(c, sent)
}

// batchMark is a message that a batch begins or ends with.
func batchMark(typ int) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request}, Data: header(0, unix.NFNL_SUBSYS_NFTABLES)}
}

// answers reads until the last message is answered.
func (t *transaction) answers(c *netlink.Conn, sent []netlink.Message) error {
	first, last := sent[0].Header.Sequence, sent[len(sent)-2].Header.Sequence
	var errs []error
	for {
		replies, err := c.Receive()
		var refused *netlink.OpError
		switch {
		case err == nil:
			for _, m := range replies {
				if m.Header.Sequence == last {
					return errors.Join(errs...)
				}
			}
		case errors.As(err, &refused) && refused.Sequence != 0 && refused.Sequence < first:
			// About an earlier transaction that was given up.
		case errors.As(err, &refused) && refused.Sequence > first && refused.Sequence <= last:
			errs = append(errs, fmt.Errorf("%s: %w", t.labels[refused.Sequence-first-1], refused.Err))
			if refused.Sequence == last {
				return errors.Join(errs...)
			}
		default:
			// About the batch as a whole, or about the socket: there will be no further answer.
			return errors.Join(append(errs, err)...)
		}
	}
}

// Policies of a base chain (NF_DROP and NF_ACCEPT, linux/netfilter.h).
const (
	verdictDrop   uint32 = 0
	verdictAccept uint32 = 1
)

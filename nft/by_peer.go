package nft

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// shared are the counters whose packets the peers of a table share among them.
var shared = map[Family]Counter{NetdevFamily: Redirected, IPv4Family: Reassembled}

// CountersByPeer reads what was sent on, by "family/name" of the counter, as [Conn.Counters] has it, and by the name of the host that it
// was sent to. Peers that are gone have no count any more: together the others may have less than the counter.
func (c *Conn) CountersByPeer() (map[string]map[string]Count, error) {
	out := make(map[string]map[string]Count, len(shared))
	for f, counter := range shared {
		elements, err := c.reader.GetSetElements(&nftables.Set{Table: &nftables.Table{Name: TableName, Family: nftables.TableFamily(f)}, Name: setPeers})
		if errors.Is(err, fs.ErrNotExist) {
			continue // not every host redirects
		}
		if err != nil {
			return nil, fmt.Errorf("read set %s of table %s: %w", setPeers, f, err)
		}
		peers := make(map[string]Count, len(elements))
		for _, e := range elements {
			if e.Counter != nil {
				peers[e.Comment] = Count{Packets: e.Counter.Packets, Bytes: e.Counter.Bytes}
			}
		}
		out[f.String()+"/"+counter.Name] = peers
	}
	return out, nil
}

// elementCounter has the kernel give each element of a set a counter.
func (t *transaction) elementCounter(f Family) netlink.Attribute {
	const attrSetExpression = 17 // NFTA_SET_EXPR (enum nft_set_attributes in linux/netfilter/nf_tables.h)
	code, err := expr.Marshal(byte(f), &expr.Counter{})
	t.err = errors.Join(t.err, err)
	return attribute(unix.NLA_F_NESTED|attrSetExpression, code)
}

// elementName is an element's comment.
func elementName(name string) netlink.Attribute {
	return attribute(unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, name))
}

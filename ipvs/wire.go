package ipvs

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Generic netlink of IPVS (linux/ip_vs.h): what moby/ipvs has no calls for.
const (
	familyName    = "IPVS" // IPVS_GENL_NAME
	familyVersion = 1

	cmdNewDaemon = 9  // IPVS_CMD_NEW_DAEMON
	cmdDelDaemon = 10 // IPVS_CMD_DEL_DAEMON
	cmdGetDaemon = 11 // IPVS_CMD_GET_DAEMON

	attrDaemon = 3 // IPVS_CMD_ATTR_DAEMON

	daemonState  = 1 // IPVS_DAEMON_ATTR_STATE
	daemonDevice = 2 // IPVS_DAEMON_ATTR_MCAST_IFN
	daemonID     = 3 // IPVS_DAEMON_ATTR_SYNC_ID
)

// roles are the values of IPVS_DAEMON_ATTR_STATE (IP_VS_STATE_MASTER, IP_VS_STATE_BACKUP).
var roles = map[Role]uint32{Master: 1, Backup: 2}

// generic is a generic netlink socket with IPVS's family.
type generic struct {
	conn   *netlink.Conn
	family uint16
}

// dialGeneric opens the socket in the namespace. The kernel loads ip_vs if it has it and is asked for the family by name; the error is
// [ErrNoIPVS] if it has not.
func dialGeneric(ns *netns.NS) (*generic, error) {
	config := &netlink.Config{}
	if ns != nil {
		config.NetNS = ns.Fd()
	}
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, config)
	if err != nil {
		return nil, fmt.Errorf("open a generic netlink socket: %w", err)
	}
	g := &generic{conn: conn}
	if g.family, err = g.resolve(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return g, nil
}

func (g *generic) close() error { return g.conn.Close() }

// resolve asks for the number of the family.
func (g *generic) resolve() (uint16, error) {
	attrs := netlink.NewAttributeEncoder()
	attrs.String(unix.CTRL_ATTR_FAMILY_NAME, familyName)
	replies, err := g.request(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, netlink.Request, attrs)
	if errors.Is(err, unix.ENOENT) {
		return 0, ErrNoIPVS
	}
	if err != nil {
		return 0, fmt.Errorf("find IPVS in the kernel: %w", err)
	}
	var family uint16
	for _, d := range replies {
		for d.Next() {
			if d.Type() == unix.CTRL_ATTR_FAMILY_ID {
				family = d.Uint16()
			}
		}
		err = errors.Join(err, d.Err())
	}
	if family == 0 {
		return 0, fmt.Errorf("find IPVS in the kernel: no number in the answer: %w", errors.Join(err, ErrNoIPVS))
	}
	return family, nil
}

// request sends a command and returns the attributes of all answers.
func (g *generic) request(family uint16, command byte, flags netlink.HeaderFlags, attrs *netlink.AttributeEncoder) ([]*netlink.AttributeDecoder, error) {
	body, err := attrs.Encode()
	if err != nil {
		return nil, err
	}
	header := []byte{command, familyVersion, 0, 0} // struct genlmsghdr
	messages, err := g.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(family), Flags: flags},
		Data:   append(header, body...),
	})
	if err != nil {
		return nil, err
	}
	var out []*netlink.AttributeDecoder
	for _, m := range messages {
		if len(m.Data) < len(header) {
			continue // an acknowledgement
		}
		d, err := netlink.NewAttributeDecoder(m.Data[len(header):])
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

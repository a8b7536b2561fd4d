package ipvs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// encode nests the daemon's attributes.
func (d Daemon) encode() *netlink.AttributeEncoder {
	attrs := netlink.NewAttributeEncoder()
	attrs.Nested(attrDaemon, func(a *netlink.AttributeEncoder) error {
		a.Uint32(daemonState, roles[d.Role])
		a.String(daemonDevice, d.Device)
		a.Uint32(daemonID, uint32(d.ID))
		return nil
	})
	return attrs
}

// start starts the daemon. Its device must be up and have an IPv4 address.
func (g *generic) start(d Daemon) error {
	_, err := g.request(g.family, cmdNewDaemon, netlink.Request|netlink.Acknowledge, d.encode())
	return err
}

// stop stops the daemon; one that is not there is success.
func (g *generic) stop(d Daemon) error {
	_, err := g.request(g.family, cmdDelDaemon, netlink.Request|netlink.Acknowledge, d.encode())
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// daemons reads the daemons of the namespace.
func (g *generic) daemons() ([]Daemon, error) {
	replies, err := g.request(g.family, cmdGetDaemon, netlink.Request|netlink.Dump, netlink.NewAttributeEncoder())
	if err != nil {
		return nil, fmt.Errorf("list sync daemons: %w", err)
	}
	var out []Daemon
	for _, attrs := range replies {
		for attrs.Next() {
			if attrs.Type() != attrDaemon {
				continue
			}
			var d Daemon
			attrs.Nested(d.decode)
			out = append(out, d)
		}
		if err := attrs.Err(); err != nil {
			return nil, fmt.Errorf("list sync daemons: %w", err)
		}
	}
	return out, nil
}

func (d *Daemon) decode(attrs *netlink.AttributeDecoder) error {
	for attrs.Next() {
		switch attrs.Type() {
		case daemonState:
			state := attrs.Uint32()
			for role, n := range roles {
				if n == state {
					d.Role = role
				}
			}
		case daemonDevice:
			d.Device = attrs.String()
		case daemonID:
			d.ID = uint8(attrs.Uint32())
		}
	}
	return attrs.Err()
}

// syncGroup is the multicast group of sync messages, 224.0.0.81 (IP_VS_SYNC_GROUP), as /proc/net/igmp prints it.
const syncGroup = "510000E0"

// listening returns the devices of the calling thread's namespace that are in the group. A backup joins it when it starts;
// membership goes with the device and does not come back with one of the same name.
func listening() (map[string]bool, error) {
	text, err := os.ReadFile("/proc/thread-self/net/igmp")
	if err != nil {
		return nil, fmt.Errorf("list multicast groups: %w", err)
	}
	return parseGroups(string(text)), nil
}

// parseGroups reads lines of devices ("7	vx100     :     2      V3") and below them, indented, of their groups.
func parseGroups(text string) map[string]bool {
	members, device := make(map[string]bool), ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case !strings.HasPrefix(line, "\t"):
			if len(words) > 1 {
				device = strings.TrimSuffix(words[1], ":")
			}
		case words[0] == syncGroup:
			members[device] = true
		}
	}
	return members
}

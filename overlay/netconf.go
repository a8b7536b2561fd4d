package overlay

import (
	"encoding/binary"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of a device's parameters (linux/netconf.h).
const (
	netconfDevice   = 1 // NETCONFA_IFINDEX
	netconfProxyARP = 5 // NETCONFA_PROXY_NEIGH
)

// netconfHeader is struct netconfmsg, padded.
type netconfHeader struct{ family byte }

func (h netconfHeader) Len() int          { return unix.NLMSG_ALIGNTO }
func (h netconfHeader) Serialize() []byte { return []byte{h.family, 0, 0, 0} }

// proxies reads proxy_arp of all devices of the calling thread's namespace, by index: one message for each instead of a file.
func proxies() (map[int]string, error) {
	replies, err := again(func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, unix.NLM_F_DUMP)
		request.AddData(netconfHeader{unix.AF_INET})
		return request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNETCONF)
	})
	if err != nil {
		return nil, err
	}
	out := make(map[int]string, len(replies))
	for _, m := range replies {
		if len(m) < unix.NLMSG_ALIGNTO {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[unix.NLMSG_ALIGNTO:])
		if err != nil {
			return nil, err
		}
		device, proxy := 0, ""
		for _, a := range attrs {
			if len(a.Value) < 4 {
				continue
			}
			switch value := int32(binary.NativeEndian.Uint32(a.Value)); a.Attr.Type {
			case netconfDevice:
				device = int(value)
			case netconfProxyARP:
				proxy = strconv.Itoa(int(value))
			}
		}
		if proxy != "" {
			out[device] = proxy
		}
	}
	return out, nil
}

// portParameters reads those parameters of VMs' devices that a message tells, and returns the others.
func (o *observer) portParameters() (unread []Sysctl) {
	if o.err != nil || len(o.ports) == 0 {
		return nil
	}
	var values map[int]string
	o.err = o.ns.Do(func() (err error) {
		values, err = proxies()
		return err
	})
	for index, l := range o.links {
		name := l.Attrs().Name
		if !o.ports[name] {
			continue
		}
		for _, s := range portSysctls(name) {
			value, known := values[index]
			if !known || s.Path != proxyARP(name) {
				unread = append(unread, s)
				continue
			}
			s.Value = value
			o.add(s)
		}
	}
	return unread
}

package overlay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func (r *rig) in(ns string, f func() error) {
	r.Helper()
	inside := must(netns.Open(r.prefix + ns))
	defer inside.Close()
	if err := inside.Do(f); err != nil {
		r.Fatal(err)
	}
}

// udpPort reports whether a socket is bound to the port in the namespace, by /proc/net/udp.
func (r *rig) udpPort(ns string, port uint16) bool { return r.bound(ns, "udp", port) }

func (r *rig) udp6Port(ns string, port uint16) bool { return r.bound(ns, "udp6", port) }

func (r *rig) bound(ns, table string, port uint16) bool {
	r.Helper()
	var text []byte
	r.in(ns, func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/" + table)
		return err
	})
	return strings.Contains(string(text), strings.ToUpper(":"+hex4(port)+" "))
}

func hex4(v uint16) string {
	s := strconv.FormatUint(uint64(v), 16)
	return strings.Repeat("0", 4-len(s)) + s
}

// counter reads a counter of a device.
func (r *rig) counter(ns, device, name string) int {
	r.Helper()
	inside := must(netns.Open(r.prefix + ns))
	defer inside.Close()
	h := must(netlink.NewHandleAt(vnetns.NsHandle(inside.Fd()), unix.NETLINK_ROUTE))
	defer h.Close()
	s := must(h.LinkByName(device)).Attrs().Statistics
	switch name {
	case "rx_packets":
		return int(s.RxPackets)
	}
	r.Fatalf("no counter %s", name)
	return 0
}

// listen puts the other end of the underlay's cable into a namespace of its own and opens a UDP socket there. The
// function that it returns waits for a datagram.
func (r *rig) listen(address string, port int) func() []byte {
	r.Helper()
	must(netns.Create(r.prefix + "wire")).Close()
	r.ip("host", "link set peer0 netns "+r.prefix+"wire")
	r.ip("wire", "address add "+address+"/24 dev peer0")
	r.ip("wire", "link set peer0 up")
	var conn *net.UDPConn
	r.in("wire", func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		return err
	})
	r.Cleanup(func() { _ = conn.Close() })
	return func() []byte {
		r.Helper()
		buf := make([]byte, 2048)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			r.Fatal(err)
		}
		return buf[:n]
	}
}

// wait waits for a condition that the kernel has no event for.
func (r *rig) wait(what string, cond func() bool) {
	r.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

// sendUDP sends one datagram; that it cannot be delivered is no error.
func (r *rig) sendUDP(ns, to string) {
	r.Helper()
	r.in(ns, func() error {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			}), err)
		}}
		conn, err := d.Dial("udp", to)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
			return nil
		}
		return err
	})
}

// injectVXLAN delivers a frame to the host's VXLAN socket (RFC 7348 section 5).
func (r *rig) injectVXLAN(vni uint32, frame []byte) {
	r.Helper()
	packet := make([]byte, 8, 8+len(frame))
	packet[0] = 0x08 // the VNI is valid
	binary.BigEndian.PutUint32(packet[4:], vni<<8)
	packet = append(packet, frame...)
	r.in("host", func() error {
		conn, err := net.Dial("udp", "192.0.2.1:4789")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(packet)
		return err
	})
}

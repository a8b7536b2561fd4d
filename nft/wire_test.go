package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

const (
	icmpProtocol = unix.IPPROTO_ICMP
	tcp          = unix.IPPROTO_TCP
	udp          = unix.IPPROTO_UDP
	sctp         = unix.IPPROTO_SCTP
)

// frame is an IPv4 packet in an Ethernet frame.
type frame struct {
	from, to            config.MAC
	source, destination netip.Addr
	ttl, protocol       byte
	id                  uint16
	// fragment is the field of flags and offset.
	fragment uint16
	options  []byte
	// payload begins with the transport header; encode writes its checksum.
	payload []byte
}

// encode builds the frame, checksums included.
func (f frame) encode() []byte {
	b := append(append(append([]byte{}, f.to[:]...), f.from[:]...), 0x08, 0x00)
	return append(b, f.packet()...)
}

// packet builds the IPv4 packet.
func (f frame) packet() []byte {
	header := 20 + len(f.options)
	ip := []byte{0x40 | byte(header/4), 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(header+len(f.payload)))
	ip = binary.BigEndian.AppendUint16(ip, f.id)
	ip = binary.BigEndian.AppendUint16(ip, f.fragment)
	ip = append(ip, f.ttl, f.protocol, 0, 0)
	ip = append(append(append(ip, f.source.AsSlice()...), f.destination.AsSlice()...), f.options...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(ip, f.transport()...)
}

// transport is the payload with its checksum, if it begins with a header.
func (f frame) transport() []byte {
	out := slices.Clone(f.payload)
	if f.protocol == sctp && len(out) >= 12 { // CRC32c (RFC 9260 section 6.8)
		binary.LittleEndian.PutUint32(out[8:], crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)))
		return out
	}
	at := map[byte]int{icmpProtocol: 2, tcp: 16, udp: 6}[f.protocol]
	if at == 0 || f.fragment != 0 || len(out) < at+2 {
		return out
	}
	pseudo := []byte{}
	if f.protocol != icmpProtocol {
		pseudo = append(append(f.source.AsSlice(), f.destination.AsSlice()...), 0, f.protocol)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(out)))
	}
	binary.BigEndian.PutUint16(out[at:], 0)
	binary.BigEndian.PutUint16(out[at:], checksum(append(pseudo, out...)))
	return out
}

// checksum is that of the Internet (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// ports is a UDP header with four bytes of data; as the quotation of an ICMP error it stands for TCP too.
func ports(from, to uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// segment is a TCP header with an MSS option.
func segment(from, to uint16, flags byte, seq, ack uint32, mss uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, 6<<4, flags, 0xff, 0xff, 0, 0, 0, 0, 2, 4)
	return binary.BigEndian.AppendUint16(b, mss)
}

// echo is an ICMP echo message (RFC 792).
func echo(typ byte, id uint16) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{typ, 0, 0, 0}, id), 0, 1)
}

// icmpError quotes a packet.
func icmpError(typ, code byte, about frame) []byte {
	return append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, about.packet()...)
}

// seen is what a frame says, for comparing: sender and receiver, hops, and the flow.
func seen(b []byte) string {
	ip := b[14:]
	header := int(ip[0]&0xf) * 4
	out := fmt.Sprintf("%s>%s ttl %d %s", config.MAC(b[6:12]), config.MAC(b[:6]), ip[8], flow(ip, true))
	if offset := binary.BigEndian.Uint16(ip[6:]); offset&0x3fff != 0 {
		out += fmt.Sprintf(" fragment %#x", offset&0x3fff)
	}
	if ip[9] == tcp && len(ip) >= header+24 && ip[header+20] == 2 {
		out += fmt.Sprintf(" mss %d", binary.BigEndian.Uint16(ip[header+22:]))
	}
	return out
}

// flow describes a packet, and what an ICMP error quotes.
func flow(ip []byte, whole bool) string {
	source, _ := netip.AddrFromSlice(ip[12:16])
	destination, _ := netip.AddrFromSlice(ip[16:20])
	body := ip[int(ip[0]&0xf)*4:]
	if binary.BigEndian.Uint16(ip[6:])&0x1fff != 0 {
		return fmt.Sprintf("%d %s>%s", ip[9], source, destination)
	}
	switch {
	case ip[9] != icmpProtocol:
		name := map[byte]string{tcp: "tcp", udp: "udp", sctp: "sctp"}[ip[9]]
		return fmt.Sprintf("%s %s:%d>%s:%d", name, source, binary.BigEndian.Uint16(body), destination, binary.BigEndian.Uint16(body[2:]))
	case body[0] == icmpEchoRequest || body[0] == icmpEchoReply:
		return fmt.Sprintf("icmp %d id %d %s>%s", body[0], binary.BigEndian.Uint16(body[4:]), source, destination)
	case whole:
		return fmt.Sprintf("icmp %d/%d %s>%s [%s]", body[0], body[1], source, destination, flow(body[8:], false))
	}
	return fmt.Sprintf("icmp %d %s>%s", body[0], source, destination)
}

// wire sends and receives IPv4 frames on a device.
type wire struct {
	testing.TB
	name string
	fd   int
}

func newWire(t testing.TB, ns *netns.NS, link netlink.Link) *wire {
	t.Helper()
	w := &wire{TB: t, name: link.Attrs().Name}
	protocol := binary.NativeEndian.Uint16([]byte{0x08, 0x00})
	must(t, ns.Do(func() (err error) {
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol))
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(w.fd) })
	must(t, unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index}))
	return w
}

func (w *wire) send(f frame) {
	w.Helper()
	_, err := unix.Write(w.fd, f.encode())
	must(w, err)
}

// received describes the frames that have arrived, without those that this end sent itself.
func (w *wire) received() []string {
	w.Helper()
	var out []string
	for {
		b := make([]byte, 9000)
		n, from, err := unix.Recvfrom(w.fd, b, 0)
		if errors.Is(err, unix.EAGAIN) {
			return out
		}
		must(w, err)
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		out = append(out, strings.TrimPrefix(w.name, "far-")+" "+seen(b[:n]))
	}
}

package health

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Message types of echo (RFC 792, RFC 4443 section 4).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// probeEcho sends one echo request and waits for its reply.
func probeEcho(ctx context.Context, ns *netns.NS, target Target) error {
	protocol := unix.IPPROTO_ICMPV6
	if target.Address.Is4() {
		protocol = unix.IPPROTO_ICMP
	}
	file, err := socket(ns, unix.SOCK_RAW, protocol, target)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // nothing is lost with it
	// A connected raw socket hears this address only.
	if err := connect(ctx, file, netip.AddrPortFrom(target.Address, 0)); err != nil {
		return err
	}
	request := newEcho(target.Address.Is4())
	if _, err := file.Write(request.message); err != nil {
		return err
	}
	return request.await(file)
}

// echo is one echo request. Its id and sequence number are random: probes of other goroutines hear each other's replies.
type echo struct {
	message []byte
	reply   byte
	ipv4    bool
}

func newEcho(ipv4 bool) echo {
	e := echo{message: make([]byte, 8), reply: echoReply6, ipv4: ipv4}
	e.message[0] = echoRequest6
	if ipv4 {
		e.message[0], e.reply = echoRequest4, echoReply4
	}
	binary.BigEndian.PutUint32(e.message[4:], rand.Uint32())
	if ipv4 { // the kernel sums ICMPv6 itself (RFC 3542 section 3.1)
		binary.BigEndian.PutUint16(e.message[2:], checksum(e.message))
	}
	return e
}

func (e echo) await(file *os.File) error {
	packet := make([]byte, 1500)
	for {
		n, err := file.Read(packet)
		if err != nil {
			return err
		}
		message, err := e.payload(packet[:n])
		if err != nil {
			return err
		}
		if len(message) >= 8 && message[0] == e.reply && string(message[4:8]) == string(e.message[4:8]) {
			return nil
		}
	}
}

var errShort = errors.New("the kernel delivered a packet without a whole header")

// payload takes the IPv4 header off, which raw sockets of IPv4 alone deliver.
func (e echo) payload(packet []byte) ([]byte, error) {
	if !e.ipv4 {
		return packet, nil
	}
	const shortest = 20 // RFC 791 section 3.1
	if len(packet) < shortest {
		return nil, errShort
	}
	header := int(packet[0]&0xf) * 4
	if header < shortest || header > len(packet) {
		return nil, errShort
	}
	return packet[header:], nil
}

// checksum is the internet checksum of a message whose checksum field is zero (RFC 1071).
func checksum(message []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

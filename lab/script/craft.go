package script

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// packetOptions are those of crafted packets.
var packetOptions = []string{
	"ttl", "df", "count", "flags", "type", "code", "id", "size", "mtu", "about", "quote", "echo", "chunk", "tag", "init", "datagram", "cut", "pieces", "overlap", "target", "says", "hex", "damaged",
}

var protocols = map[string]packet.Protocol{"udp": packet.UDP, "tcp": packet.TCP, "sctp": packet.SCTP, "icmp": packet.ICMP}

var tcpFlags = map[string]uint8{"fin": packet.FIN, "syn": packet.SYN, "rst": packet.RST, "ack": packet.ACK}

var sctpChunks = map[string]packet.Chunk{
	"data": packet.ChunkData, "init": packet.ChunkInit, "init-ack": packet.ChunkInitAck, "sack": packet.ChunkSack, "abort": packet.ChunkAbort,
	"cookie-echo": packet.ChunkCookieEcho, "cookie-ack": packet.ChunkCookieAck,
	"shutdown": packet.ChunkShutdown, "shutdown-ack": packet.ChunkShutdownAck, "shutdown-complete": packet.ChunkShutdownComplete,
}

// choice looks a word up among those that a command knows.
func choice[T any](word string, among map[string]T) (T, error) {
	value, ok := among[word]
	if !ok {
		return value, mistakef("%q: want one of %v", word, slices.Sorted(maps.Keys(among)))
	}
	return value, nil
}

func (s *stage) inject(c call) error {
	args, opts, err := c.want("inject NODE udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [options]", 4, 4, packetOptions...)
	if err != nil {
		return err
	}
	packets, err := s.crafted(args, opts)
	if err != nil {
		return err
	}
	to, err := s.endpoint(args[1], args[3])
	if err != nil {
		return err
	}
	return s.in(args[0], func(ns *netns.NS) error {
		for _, raw := range packets {
			if err := traffic.InjectRaw(ns, to.Addr(), raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// endpoint reads an address, with a port where the protocol has ports. @CAPTURE is whoever sent the last packet of a capture.
func (s *stage) endpoint(protocol, text string) (netip.AddrPort, error) {
	if name, ok := strings.CutPrefix(text, "@"); ok {
		last, err := s.last(name)
		if err != nil {
			return netip.AddrPort{}, err
		}
		p, err := packet.ParseIP(last, 0)
		if err != nil {
			return netip.AddrPort{}, err
		}
		return netip.AddrPortFrom(p.Source, p.SourcePort), nil
	}
	if protocol == "icmp" {
		a, err := addr(text)
		return netip.AddrPortFrom(a, 0), err
	}
	return addrPort(text)
}

// last is the last packet of a capture.
func (s *stage) last(name string) ([]byte, error) {
	capture := s.captures[name]
	if capture == nil {
		return nil, mistakef("no capture is named %s", name)
	}
	last := capture.Last()
	if last == nil {
		return nil, mistakef("capture %s has no packet", name)
	}
	return last, nil
}

// crafted reads protocol, source, destination and options of packets; the first word of args is not looked at.
func (s *stage) crafted(args []string, opts options) ([][]byte, error) {
	var spec packet.Spec
	var errs [4]error
	spec.Protocol, errs[0] = choice(args[1], protocols)
	spec.Source, errs[1] = s.endpoint(args[1], args[2])
	spec.Destination, errs[2] = s.endpoint(args[1], args[3])
	codes, err := opts.craft(&spec)
	errs[3] = err
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.quote(&spec, opts), opts.discover(&spec)); err != nil {
		return nil, err
	}
	count, err := opts.number("count", 1)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for code := codes[0]; code <= codes[1]; code++ {
		spec.Code = uint8(code)
		raw, err := packet.Build(spec)
		if err != nil {
			return nil, err
		}
		if err := opts.damage(raw); err != nil {
			return nil, err
		}
		for n := range count {
			pieces, err := opts.pieces(raw, n)
			if err != nil {
				return nil, err
			}
			out = append(out, pieces...)
		}
	}
	return out, nil
}

// craft fills in what the options say, and returns the first and the last ICMP code.
func (o options) craft(spec *packet.Spec) (codes [2]uint16, err error) {
	for _, name := range list(o["flags"]) {
		flag, err := choice(name, tcpFlags)
		if err != nil {
			return codes, err
		}
		spec.Flags |= flag
	}
	if o.has("chunk") {
		if spec.Chunk, err = choice(o["chunk"], sctpChunks); err != nil {
			return codes, err
		}
	}
	if o.has("code") {
		if codes[0], codes[1], err = portRange(o["code"]); err != nil {
			return codes, err
		}
	}
	values := map[string]int{"ttl": 64, "type": 0, "id": 0, "mtu": 0, "size": 0, "tag": 0, "init": 0, "datagram": 1}
	for key := range values {
		if values[key], err = o.number(key, values[key]); err != nil {
			return codes, err
		}
	}
	spec.TTL, spec.Type, spec.ID, spec.MTU = uint8(values["ttl"]), uint8(values["type"]), uint16(values["id"]), uint16(values["mtu"])
	spec.Tag, spec.InitTag = uint32(values["tag"]), uint32(values["init"])
	spec.Payload = make([]byte, values["size"])
	spec.DontFragment = o.has("df")
	if o.has("hex") {
		if spec.Payload, err = hex.DecodeString(o["hex"]); err != nil {
			return codes, mistakef("%q: want bytes as two hexadecimal digits each", o["hex"])
		}
	}
	if o.has("echo") {
		spec.Payload = traffic.Datagram(uint64(values["datagram"]), values["size"])
	}
	return codes, nil
}

// damage spoils a checksum of an ICMP packet with an IPv4 header of 20 bytes: its own, or that of the header it quotes. Its own is
// made right for that again.
func (o options) damage(raw []byte) error {
	const icmp, quotation = 20, 28
	switch o["damaged"] {
	case "":
		return nil
	case "outer":
		raw[icmp+2] ^= 0xff
		return nil
	case "quoted":
		if len(raw) < quotation+20 {
			return mistakef("damaged=quoted: nothing is quoted; use about=CAPTURE")
		}
		raw[quotation+10] ^= 0xff
		copy(raw[icmp+2:], []byte{0, 0})
		binary.BigEndian.PutUint16(raw[icmp+2:], packet.Checksum(raw[icmp:]))
		return nil
	}
	return mistakef("damaged=%s: want outer or quoted", o["damaged"])
}

// quote puts the last packet of a capture into an ICMP error: the header and 8 bytes (RFC 792), or as many bytes as wanted.
func (s *stage) quote(spec *packet.Spec, opts options) error {
	if !opts.has("about") {
		return nil
	}
	last, err := s.last(opts["about"])
	if err != nil {
		return err
	}
	bytes, err := opts.number("quote", 28)
	if err != nil {
		return err
	}
	spec.Payload = last[:min(bytes, len(last))]
	return nil
}

// discover makes a message of neighbour discovery: what it is about, and the MAC that it says (RFC 4861 sections 4.3, 4.4, 4.6.1).
func (o options) discover(spec *packet.Spec) error {
	target, err := o.addr("target")
	if err != nil || !target.IsValid() {
		return err
	}
	spec.Payload = target.AsSlice()
	if o.has("says") {
		mac, err := macOf(o["says"])
		if err != nil {
			return err
		}
		const targetLinkLayerAddress, inEightBytes = 2, 1
		spec.Payload = append(append(spec.Payload, targetLinkLayerAddress, inEightBytes), mac[:]...)
	}
	return nil
}

// pieces cuts a packet into fragments and puts them into the order wanted; those that are not named are left out. The fragments of
// the nth copy are of a datagram of their own.
func (o options) pieces(raw []byte, n int) ([][]byte, error) {
	if !o.has("cut") {
		return [][]byte{raw}, nil
	}
	size, err := number(o["cut"])
	if err != nil {
		return nil, err
	}
	overlap, err := o.number("overlap", 0)
	if err != nil {
		return nil, err
	}
	id, err := o.number("datagram", 1)
	if err != nil {
		return nil, err
	}
	all, err := packet.Cut(packet.PayloadLength(raw), size, overlap)
	if err != nil {
		return nil, mistake{err}
	}
	order := all
	if o.has("pieces") {
		order = nil
		for _, word := range list(o["pieces"]) {
			n, err := number(word)
			if err != nil || n < 1 || n > len(all) {
				return nil, mistakef("%q: want the number of a piece, 1 to %d", word, len(all))
			}
			order = append(order, all[n-1])
		}
	}
	return packet.Fragments(raw, uint16(id+n), order...)
}

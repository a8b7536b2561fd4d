package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
)

// operation is what a client asks of a TCP server. A request is the operation, the number of bytes and the seed of the
// pattern (1, 8 and 8 bytes, big endian).
type operation byte

const (
	// opWho is answered with the client's address and port as the server sees them.
	opWho operation = 'w'
	// opPut is followed by the bytes and answered with their SHA-256.
	opPut operation = 'p'
	// opGet is answered with the bytes of the pattern.
	opGet operation = 'g'
)

type request struct {
	op    operation
	bytes uint64
	seed  uint64
}

const requestSize = 17

func (r request) marshal() []byte {
	b := append(make([]byte, 0, requestSize), byte(r.op))
	b = binary.BigEndian.AppendUint64(b, r.bytes)
	return binary.BigEndian.AppendUint64(b, r.seed)
}

func readRequest(from io.Reader) (request, error) {
	b := make([]byte, requestSize)
	if _, err := io.ReadFull(from, b); err != nil {
		return request{}, err
	}
	return request{operation(b[0]), binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])}, nil
}

// pattern is the endless stream of bytes with that seed.
func pattern(seed uint64) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// addressSize is an address on the wire: 16 bytes, IPv4 mapped (RFC 4291 section 2.5.5.2), and the port.
const addressSize = 18

func putAddress(b []byte, a netip.AddrPort) {
	addr := a.Addr().As16()
	copy(b, addr[:])
	binary.BigEndian.PutUint16(b[16:], a.Port())
}

func getAddress(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.BigEndian.Uint16(b[16:]))
}

// A datagram is a mark, a sequence number, room for the address the server sees, and the pattern seeded with the number.
const (
	datagramMark   = "cvlt"
	datagramHeader = 4 + 8 + addressSize
)

var errForeign = errors.New("datagram is not of this package")

// Datagram is the payload of a UDP datagram that a [Server] answers with an echo, size bytes long, at least 30. Its bytes follow
// from the number.
func Datagram(number uint64, size int) []byte { return newDatagram(number, size) }

// newDatagram makes one of size bytes.
func newDatagram(number uint64, size int) []byte {
	b := make([]byte, max(size, datagramHeader))
	copy(b, datagramMark)
	binary.BigEndian.PutUint64(b[4:], number)
	_, _ = io.ReadFull(pattern(number), b[datagramHeader:]) // a ChaCha8 stream has no end and no errors
	return b
}

// checkDatagram returns the sequence number and the address the server wrote, or [ErrDamaged].
func checkDatagram(b []byte, size int) (number uint64, seen netip.AddrPort, err error) {
	if len(b) < datagramHeader || string(b[:4]) != datagramMark {
		return 0, seen, errForeign
	}
	number, seen = binary.BigEndian.Uint64(b[4:]), getAddress(b[12:])
	want := newDatagram(number, size)
	if len(b) != len(want) || string(b[datagramHeader:]) != string(want[datagramHeader:]) {
		return number, seen, fmt.Errorf("%w: datagram %d of %d bytes", ErrDamaged, number, len(b))
	}
	return number, seen, nil
}

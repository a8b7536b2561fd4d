package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Piece is a part of a packet's payload: bytes From up to To, counted from behind the IP header.
type Piece struct{ From, To int }

// Cut divides a payload into pieces of size bytes, the last one shorter. Of each but the first, overlap bytes are in the one
// before as well. Both are multiples of 8 (RFC 791 section 3.1).
func Cut(payload, size, overlap int) ([]Piece, error) {
	if size <= 0 || size%8 != 0 || overlap < 0 || overlap%8 != 0 || overlap >= size {
		return nil, fmt.Errorf("cut into pieces of %d bytes that overlap by %d: want multiples of 8, the overlap below the size", size, overlap)
	}
	var out []Piece
	for from := 0; from < payload; from += size {
		out = append(out, Piece{max(0, from-overlap), min(from+size, payload)})
	}
	return out, nil
}

// PayloadLength is how many bytes follow the IP header of a packet from [Build].
func PayloadLength(raw []byte) int { return len(raw) - headerLength(raw) }

func headerLength(raw []byte) int {
	if raw[0]>>4 == 6 {
		return 40
	}
	return 20
}

// Fragments makes a fragment of each piece of a packet from [Build], in the order given. id tells the pieces of one datagram
// from another's (RFC 791 section 3.2, RFC 8200 section 4.5).
func Fragments(raw []byte, id uint16, pieces ...Piece) ([][]byte, error) {
	header := headerLength(raw)
	head, payload := raw[:header], raw[header:]
	var out [][]byte
	for _, p := range pieces {
		if p.From < 0 || p.To > len(payload) || p.From >= p.To || p.From%8 != 0 {
			return nil, fmt.Errorf("bytes %d to %d are no piece of a payload of %d bytes", p.From, p.To, len(payload))
		}
		more := p.To < len(payload)
		if more && (p.To-p.From)%8 != 0 {
			return nil, errors.New("only the last piece may have a length that is no multiple of 8")
		}
		fragment := fragment4
		if header == 40 {
			fragment = fragment6
		}
		out = append(out, fragment(head, payload[p.From:p.To], id, p.From, more))
	}
	return out, nil
}

func fragment4(head, payload []byte, id uint16, offset int, more bool) []byte {
	b := append(append([]byte{}, head...), payload...)
	field := uint16(offset / 8)
	if more {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], field)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b[:20]))
	return b
}

func fragment6(head, payload []byte, id uint16, offset int, more bool) []byte {
	const fragmentHeader = 8
	b := append([]byte{}, head...)
	binary.BigEndian.PutUint16(b[4:], uint16(fragmentHeader+len(payload)))
	next := b[6]
	b[6] = fragmentHeader6
	field := uint16(offset)
	if more {
		field |= 1
	}
	b = append(b, next, 0)
	b = binary.BigEndian.AppendUint16(b, field)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	return append(b, payload...)
}

package packet

import (
	"encoding/binary"
	"hash/crc32"
)

// Chunk is the type of an SCTP chunk (RFC 9260 section 3.2).
type Chunk uint8

// The chunks that open an association, carry data, acknowledge it and end the association.
const (
	ChunkData             Chunk = 0
	ChunkInit             Chunk = 1
	ChunkInitAck          Chunk = 2
	ChunkSack             Chunk = 3
	ChunkAbort            Chunk = 6
	ChunkShutdown         Chunk = 7
	ChunkShutdownAck      Chunk = 8
	ChunkCookieEcho       Chunk = 10
	ChunkCookieAck        Chunk = 11
	ChunkShutdownComplete Chunk = 14
)

const sctpHeader = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc32c(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// sctp is an SCTP packet with one chunk, without addresses: the common header and the chunk's (RFC 9260 section 3.1, 3.2).
func (s Spec) sctp() []byte {
	b := binary.BigEndian.AppendUint16(nil, s.Source.Port())
	b = binary.BigEndian.AppendUint16(b, s.Destination.Port())
	b = binary.BigEndian.AppendUint32(b, s.Tag)
	b = append(b, 0, 0, 0, 0)
	value := s.chunkValue()
	b = append(b, byte(s.Chunk), 0)
	if s.Chunk == ChunkData {
		b[len(b)-1] = 3 // begin and end of a message
	}
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	// The one checksum that goes out least significant byte first (RFC 9260 appendix A).
	binary.LittleEndian.PutUint32(b[8:], crc32c(b))
	return b
}

func (s Spec) chunkValue() []byte {
	const window, streams = 65535, 1
	switch s.Chunk {
	case ChunkInit, ChunkInitAck: // initiate tag, window, streams out and in, first number; INIT ACK needs a cookie
		v := binary.BigEndian.AppendUint32(nil, s.InitTag)
		v = binary.BigEndian.AppendUint32(v, window)
		v = append(v, 0, streams, 0, streams)
		v = binary.BigEndian.AppendUint32(v, 1)
		if s.Chunk == ChunkInitAck {
			v = append(v, 0, 7, 0, 8, 'c', 'v', 'l', 't')
		}
		return v
	case ChunkData: // number, stream, number in the stream, payload protocol, data
		return append([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, s.Payload...)
	case ChunkSack: // number acknowledged, window, no gaps, no duplicates
		return append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, window), 0, 0, 0, 0)
	case ChunkShutdown:
		return []byte{0, 0, 0, 1}
	case ChunkCookieEcho:
		return []byte("cvlt")
	}
	return nil
}

// readSCTP reads the common header and the type of the first chunk.
func (p *Packet) readSCTP(b []byte) {
	if len(b) < 4 {
		return
	}
	p.SourcePort, p.DestinationPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if len(b) <= sctpHeader {
		return
	}
	p.Chunk, p.hasChunk = Chunk(b[sctpHeader]), true
}

// sctpSummed reports whether the checksum of an SCTP packet is right.
func sctpSummed(b []byte) bool {
	if len(b) < sctpHeader {
		return false
	}
	whole := append([]byte{}, b...)
	clear(whole[8:12])
	return crc32c(whole) == binary.LittleEndian.Uint32(b[8:])
}

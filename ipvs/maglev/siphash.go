package maglev

import "math/bits"

// key is a key of hsiphash on a 64-bit machine (hsiphash_key_t, linux/siphash.h).
type key [2]uint64

// The keys of every mh table in the world (generate_hash_secret in ip_vs_mh.c): the first places clients and a backend's first
// slot, the second gives the stride of a backend's preferences.
var (
	placeKey  = key{2654435761, 2654435761}
	strideKey = key{2654446892, 2654446892}
)

// hash is hsiphash of one 32-bit word: SipHash-1-3 (Aumasson and Bernstein, 2012, with one compression and three
// finalisation rounds), cut to 32 bits.
func (k key) hash(word uint32) uint32 {
	s := state{
		k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d,
		k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573,
	}
	// The last block has the message's length, 4 bytes, in its highest byte.
	block := 4<<56 | uint64(word)
	s[3] ^= block
	s = s.round()
	s[0] ^= block
	s[2] ^= 0xff
	s = s.round().round().round()
	return uint32(s[0] ^ s[1] ^ s[2] ^ s[3])
}

// state is SipHash's.
type state [4]uint64

// round is SipRound.
func (s state) round() state {
	s[0] += s[1]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[3]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] += s[3]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] += s[1]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[2] = bits.RotateLeft64(s[2], 32)
	return s
}

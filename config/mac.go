package config

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// MAC is an Ethernet hardware address (EUI-48). The zero value means "none". It is an array, so it can be
// compared and be the key of a map.
type MAC [6]byte

// errMAC is what is wrong with every text that is no MAC.
var errMAC = errors.New("is not a MAC address")

// ParseMAC reads six bytes of two hexadecimal digits, separated by colons ("52:54:00:00:00:0a").
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return MAC{}, fmt.Errorf("%q %w", s, errMAC)
	}
	for i := range m {
		if i > 0 && s[3*i-1] != ':' {
			return MAC{}, fmt.Errorf("%q %w", s, errMAC)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return MAC{}, fmt.Errorf("%q %w", s, errMAC)
		}
	}
	return m, nil
}

// String returns the address in lower case, separated by colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText returns what [MAC.String] returns; it never fails.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// IsMulticast reports whether the address is a group's: the lowest bit of the first byte (IEEE 802 section 8.2.2).
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsReserved reports whether the address lies in one of the two ranges that the overlay takes for the virtual MACs of
// hosts (02:63:76:...) and of backends (06:63:76:...). Both are locally administered; 63 76 is "cv" in ASCII.
func (m MAC) IsReserved() bool {
	return (m[0] == 0x02 || m[0] == 0x06) && m[1] == 'c' && m[2] == 'v'
}

package health

import (
	"bytes"
	"testing"
)

// FuzzPayload reads anything as a packet that a raw socket has delivered: what is taken for the message is its end.
func FuzzPayload(f *testing.F) {
	reply := append([]byte{0x45}, make([]byte, 27)...)
	f.Add(reply, true)
	f.Add(append([]byte{0x4f}, make([]byte, 59)...), true)
	f.Add(reply[:19], true)
	f.Add([]byte{}, true)
	f.Add([]byte{129, 0, 0, 0, 1, 2, 3, 4}, false)
	f.Fuzz(func(t *testing.T, packet []byte, ipv4 bool) {
		message, err := echo{ipv4: ipv4}.payload(packet)
		if err != nil {
			if !ipv4 {
				t.Errorf("IPv6 has no header here: %v", err)
			}
			return
		}
		header := len(packet) - len(message)
		if !bytes.HasSuffix(packet, message) || header > 0 != ipv4 {
			t.Errorf("%x without its header is %x", packet, message)
		}
	})
}

package nft

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/google/nftables/userdata"
)

// Notes that are kept with a rule, as type, length and value each. nft(8) shows the comment and leaves the rest alone.
const (
	noteText   userdata.Type = 'T' // the rule's text
	noteDevice userdata.Type = 'D' // the index and the name of the device that the rule forwards to
)

// maxNotes is how many bytes the kernel keeps with a rule (NFT_USERDATA_MAXLEN, net/netfilter/nf_tables.h).
const maxNotes = 256

// commentPrefix begins the comment of every rule of ours; the digest follows.
const commentPrefix = "culvert #"

// staleSuffix ends the digest of a rule with the index of a device that is gone.
const staleSuffix = " (its device is gone)"

// notes are what is kept with the rule. A text that is too long is cut.
func (r Rule) notes(index int) []byte {
	out := userdata.AppendString(nil, userdata.TypeComment, commentPrefix+r.Digest)
	if r.device != "" {
		out = userdata.Append(out, noteDevice, append(binary.BigEndian.AppendUint32(nil, uint32(index)), r.device...))
	}
	const typeAndLength, zero = 2, 1
	return userdata.AppendString(out, noteText, r.Text[:min(len(r.Text), maxNotes-len(out)-typeAndLength-zero)])
}

// decodeNotes reads notes back, with the index of the device. What is no rule of ours has no digest.
func decodeNotes(data []byte) (r Rule, index int) {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value := data[2 : 2+int(data[1])]
		text := string(bytes.TrimSuffix(value, []byte{0}))
		switch userdata.Type(data[0]) {
		case userdata.TypeComment:
			if digest, ours := strings.CutPrefix(text, commentPrefix); ours {
				r.Digest = digest
			}
		case noteText:
			r.Text = text
		case noteDevice:
			if len(value) > 4 {
				index, r.device = int(binary.BigEndian.Uint32(value)), string(value[4:])
			}
		}
		data = data[2+len(value):]
	}
	return r, index
}

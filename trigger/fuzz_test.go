package trigger

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessages reads anything as if the kernel had sent it.
func FuzzMessages(f *testing.F) {
	message := func(kind uint16, body ...byte) []byte {
		b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
		binary.NativeEndian.PutUint32(b, uint32(unix.NLMSG_HDRLEN+len(body)))
		binary.NativeEndian.PutUint16(b[4:], kind)
		return append(b, body...)
	}
	f.Add(message(unix.RTM_NEWLINK, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0, 'l', 'o', 0, 0))
	f.Add(message(unix.RTM_NEWROUTE, make([]byte, 12)...))
	f.Add(append(message(unix.RTM_DELNEIGH, make([]byte, 20)...), message(unix.RTM_NEWADDR, 1, 2, 3)...))
	f.Add([]byte{3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := devices{7: "eth0"}
		read := d.reader(func(e Event) {
			if e.Kind == Lost || e.Space == Host && e.Name != "" {
				t.Errorf("event %+v", e)
			}
		})
		length := 0
		for _, m := range split(b) {
			length += unix.NLMSG_HDRLEN + len(m.body)
			read(Host, m)
			read(3, m)
		}
		if length > len(b) {
			t.Errorf("%d bytes of messages in %d", length, len(b))
		}
		spaceOf(b)
	})
}

// FuzzFolders reads anything as if inotify had said it.
func FuzzFolders(f *testing.F) {
	event := func(descriptor, mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent)
		binary.NativeEndian.PutUint32(b, descriptor)
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(name)))
		return append(b, name...)
	}
	f.Add(event(1, unix.IN_CREATE, "culvert-acme\x00\x00\x00\x00"))
	f.Add(append(event(1, unix.IN_IGNORED, ""), event(2, unix.IN_Q_OVERFLOW, "")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &folders{spaces: map[int32]Space{1: Host, 2: 5}}
		w.parse(b, func(s Space, _ string) {
			if s != Host && s != 5 {
				t.Errorf("space %d", s)
			}
		}, func(e Event) {
			if e.Kind != Lost {
				t.Errorf("event %+v", e)
			}
		})
	})
}

package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Netlink's words for conntrack (linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h).
const (
	subsystem         = 1 // NFNL_SUBSYS_CTNETLINK
	messageNew        = 0 // IPCTNL_MSG_CT_NEW
	messageGet        = 1 // IPCTNL_MSG_CT_GET
	messageEnd        = 2 // IPCTNL_MSG_CT_DELETE
	messageStatistics = 5 // IPCTNL_MSG_CT_GET_STATS

	headerSize = 4 // struct nfgenmsg

	statisticsEntries = 1 // CTA_STATS_GLOBAL_ENTRIES

	sourceNAT = 1 << 4 // IPS_SRC_NAT
)

// buffer holds what the kernel writes at once in a dump (NLMSG_GOODSIZE and up to 32 KiB for who reads with more).
const buffer = 64 << 10

// Translated calls each for every IPv4 flow of the namespace whose source is translated. It keeps nothing: each is called while the
// kernel is read.
func Translated(ns *netns.NS, each func(Flow)) error {
	err := withSocket(ns, func(fd int) error {
		return dump(fd, request(unix.AF_INET, sourceNAT), func(e *Entry) error {
			if f, ok := e.flow(); ok {
				each(f)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read the flows of %s: %w", ns.Name(), err)
	}
	return nil
}

// withSocket calls f with a socket of the namespace.
func withSocket(ns *netns.NS, f func(fd int) error) error {
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return fmt.Errorf("open a conntrack socket: %w", err)
	}
	return errors.Join(f(fd), unix.Close(fd))
}

// dump calls each for every entry that a request asks for, while the kernel is read. An error of each ends it. The kernel walks past
// the flows of all namespaces for that, which is spared one that has none.
func dump(fd int, request []byte, each func(*Entry) error) error {
	if n, err := count(fd); err != nil || n == 0 {
		return err
	}
	if err := send(fd, request); err != nil {
		return err
	}
	b, e := make([]byte, buffer), new(Entry)
	for {
		n, err := receive(fd, b)
		if err != nil {
			return err
		}
		if done, err := read(b[:n], e, each); done || err != nil {
			return err
		}
	}
}

// count returns how many flows the namespace has, those included that have not passed yet.
func count(fd int) (n uint32, err error) {
	if err := send(fd, finish(appendHeader(nil, messageStatistics, unix.NLM_F_REQUEST, 0, unix.AF_UNSPEC), 0)); err != nil {
		return 0, err
	}
	b := make([]byte, 4<<10)
	size, err := receive(fd, b)
	if err != nil {
		return 0, err
	}
	told := false
	_, err = messages(b[:size], func(kind uint16, _ uint32, body []byte) (bool, error) {
		switch {
		case kind == unix.NLMSG_ERROR:
			return true, failure(body)
		case kind == subsystem<<8|messageStatistics && len(body) >= headerSize:
			attributes(body[headerSize:], func(kind uint16, value []byte) {
				if kind == statisticsEntries && len(value) == 4 {
					n, told = binary.BigEndian.Uint32(value), true
				}
			})
		}
		return false, nil
	})
	if err == nil && !told {
		err = errShort
	}
	return n, err
}

func send(fd int, b []byte) error {
	return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func receive(fd int, b []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// request asks for all flows of a family, or those with one of the bits in their status. A kernel that does not know that filter
// sends all.
func request(family byte, status uint32) []byte {
	b := appendHeader(nil, messageGet, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 0, family)
	if status != 0 {
		b = appendAttribute(b, attrStatus, binary.BigEndian.AppendUint32(nil, status))
	}
	return finish(b, 0)
}

// appendHeader begins a message, which finish completes.
func appendHeader(b []byte, message, flags uint16, sequence uint32, family byte) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, subsystem<<8|message)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = append(b, 0, 0, 0, 0)
	return append(b, family, unix.NFNETLINK_V0, 0, 0)
}

func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.NLA_HDRLEN+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// finish writes the length of the message that begins at start.
func finish(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

var errShort = errors.New("the kernel's answer is cut off")

// read takes one read's messages of a dump apart, each entry into the same place; done is true after the last.
func read(b []byte, e *Entry, each func(*Entry) error) (done bool, err error) {
	return messages(b, func(kind uint16, _ uint32, body []byte) (bool, error) {
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return false, failure(body)
		case subsystem<<8 | messageNew:
			if e.parse(body) {
				return false, each(e)
			}
		}
		return false, nil
	})
}

// messages calls each for every message of one read, until it is done.
func messages(b []byte, each func(kind uint16, sequence uint32, body []byte) (done bool, err error)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false, errShort
		}
		done, err := each(binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:size])
		if done || err != nil {
			return done, err
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// failure is what an NLMSG_ERROR says; nil if that is that all is well.
func failure(body []byte) error {
	if len(body) < 4 {
		return errShort
	}
	if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}

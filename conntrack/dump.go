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
	subsystem  = 1 // NFNL_SUBSYS_CTNETLINK
	messageNew = 0 // IPCTNL_MSG_CT_NEW
	messageGet = 1 // IPCTNL_MSG_CT_GET

	sourceNAT = 1 << 4 // IPS_SRC_NAT
)

// buffer holds what the kernel writes at once in a dump (NLMSG_GOODSIZE and up to 32 KiB for who reads with more).
const buffer = 64 << 10

// Translated calls each for every IPv4 flow of the namespace whose source is translated. It keeps nothing: each is called while the
// kernel is read.
func Translated(ns *netns.NS, each func(Flow)) error {
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return fmt.Errorf("open a conntrack socket in %s: %w", ns.Name(), err)
	}
	err = dump(fd, each)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return fmt.Errorf("read the flows of %s: %w", ns.Name(), err)
	}
	return nil
}

func dump(fd int, each func(Flow)) error {
	if err := unix.Sendto(fd, request(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	b := make([]byte, buffer)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if done, err := read(b[:n], each); done || err != nil {
			return err
		}
	}
}

// request asks for all flows with a translated source. A kernel that does not know that filter sends all.
func request() []byte {
	const header, family, attribute = unix.NLMSG_HDRLEN, 4, 8
	b := make([]byte, header+family+attribute)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], subsystem<<8|messageGet)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[header] = unix.AF_INET
	binary.NativeEndian.PutUint16(b[header+family:], attribute)
	binary.NativeEndian.PutUint16(b[header+family+2:], attrStatus)
	binary.BigEndian.PutUint32(b[header+family+4:], sourceNAT)
	return b
}

var errShort = errors.New("the kernel's answer is cut off")

// read takes one read's messages apart; done is true after the last of the dump.
func read(b []byte, each func(Flow)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false, errShort
		}
		body := b[unix.NLMSG_HDRLEN:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errShort
			}
			if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				return false, unix.Errno(-errno)
			}
		case subsystem<<8 | messageNew:
			if f, ok := parse(body); ok {
				each(f)
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

package trigger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// listener is a netlink socket that hears the host's namespace and all that have an id in it.
type listener struct {
	file *os.File
	conn syscall.RawConn
}

// receiveBuffer is the socket's in bytes. What does not fit is lost, which costs a look at everything.
const receiveBuffer = 8 << 20

func listen(host *netns.NS, protocol int, groups ...int) (*listener, error) {
	fd := -1
	err := host.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	l := &listener{file: os.NewFile(uintptr(fd), "netlink")}
	l.conn, err = l.file.SyscallConn()
	errs := []error{
		err,
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1),
	}
	for _, g := range groups {
		errs = append(errs, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on a netlink socket: %w", err), l.Close())
	}
	return l, nil
}

// keep drops all datagrams in the kernel but those whose first message has the type (socket(7), SO_ATTACH_FILTER). Whoever
// listens to nftables is told of each element of each set otherwise.
func (l *listener) keep(messageType uint16) error {
	// The kernel loads from packets in network byte order, messages have the machine's.
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], messageType)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4}, // nlmsghdr.nlmsg_type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(binary.BigEndian.Uint16(b[:]))},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	var err error
	controlErr := l.conn.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	return errors.Join(err, controlErr)
}

// message is a netlink message's type and what follows its header.
type message struct {
	kind  uint16
	flags uint16
	body  []byte
}

// run hands every message to read until the context ends.
func (l *listener) run(ctx context.Context, read func(Space, message), tell func(Event)) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	buf, control := make([]byte, 256<<10), make([]byte, 256)
	for {
		n, oob, err := l.receive(buf, control)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			tell(Event{Kind: Lost})
			continue
		case err != nil:
			return fmt.Errorf("hear the kernel: %w", err)
		}
		space := spaceOf(control[:oob])
		for _, m := range split(buf[:n]) {
			read(space, m)
		}
	}
}

func (l *listener) receive(buf, control []byte) (n, oob int, err error) {
	waitErr := l.conn.Read(func(fd uintptr) bool {
		n, oob, _, _, err = unix.Recvmsg(int(fd), buf, control, 0)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if waitErr != nil {
		return 0, 0, waitErr
	}
	return n, oob, err
}

// spaceOf finds the namespace's id among the control messages; the host's own comes without.
func spaceOf(control []byte) Space {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return Host
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return Space(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return Host
}

// split reads the messages of a datagram; what is cut off is left out.
func split(b []byte) []message {
	var out []message
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			break
		}
		out = append(out, message{kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]), body: b[unix.NLMSG_HDRLEN:length]})
		b = b[min(len(b), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return out
}

// Close ends the listener.
func (l *listener) Close() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

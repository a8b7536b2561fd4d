package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrTimeout says that nothing came back in time.
	ErrTimeout = errors.New("no answer")
	// ErrReset says that the other end refused the connection or reset it.
	ErrReset = errors.New("connection refused or reset")
	// ErrDamaged says that other bytes arrived than were sent.
	ErrDamaged = errors.New("bytes arrived damaged")
)

// ICMPError says that a router or a host answered with an ICMP error.
type ICMPError struct {
	// Type and Code are those of RFC 792 or, if V6, of RFC 4443.
	Type, Code uint8
	V6         bool
	// MTU is the next hop's, in bytes, of "fragmentation needed" and "packet too big".
	MTU uint32
	// From is who sent the error.
	From netip.Addr
}

// Error prints type and code as in "icmp 3/13 from 10.0.0.1".
func (e *ICMPError) Error() string {
	name := "icmp"
	if e.V6 {
		name = "icmp6"
	}
	text := fmt.Sprintf("%s %d/%d from %s", name, e.Type, e.Code, e.From)
	if e.MTU != 0 {
		text += fmt.Sprintf(", mtu %d", e.MTU)
	}
	return text
}

// Values of sock_extended_err.ee_origin (linux/errqueue.h).
const (
	originICMP  = 2
	originICMP6 = 3
)

// explain turns what the kernel said into one of the errors of this package, with the ICMP error if one is queued.
func (s *socket) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return ErrTimeout
	}
	if icmp := s.queuedError(); icmp != nil {
		return icmp
	}
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrReset, err)
	}
	return err
}

// queuedError takes the next ICMP error off the socket's error queue, nil if there is none.
func (s *socket) queuedError() *ICMPError {
	var found *ICMPError
	_ = s.control(func(fd int) error {
		payload, control := make([]byte, 512), make([]byte, 512)
		for found == nil {
			_, n, _, _, err := unix.Recvmsg(fd, payload, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return err
			}
			messages, err := unix.ParseSocketControlMessage(control[:n])
			if err != nil {
				return err
			}
			for _, m := range messages {
				if e := parseExtended(m); e != nil {
					found = e
				}
			}
		}
		return nil
	})
	return found
}

// parseExtended reads struct sock_extended_err and the offender's address behind it (linux/errqueue.h).
func parseExtended(m unix.SocketControlMessage) *ICMPError {
	v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
	v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
	if !v4 && !v6 || len(m.Data) < 16 {
		return nil
	}
	origin := m.Data[4]
	if origin != originICMP && origin != originICMP6 {
		return nil
	}
	e := &ICMPError{Type: m.Data[5], Code: m.Data[6], V6: origin == originICMP6, MTU: binary.NativeEndian.Uint32(m.Data[8:])}
	switch offender := m.Data[16:]; {
	case v4 && len(offender) >= 8: // sockaddr_in: family, port, address
		e.From = netip.AddrFrom4([4]byte(offender[4:8]))
	case v6 && len(offender) >= 24: // sockaddr_in6: family, port, flow info, address
		e.From = netip.AddrFrom16([16]byte(offender[8:24]))
	}
	return e
}

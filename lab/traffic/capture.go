package traffic

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/netns"
)

const (
	// captureBuffer is what the kernel may hold for a capture that is not read for a moment, in bytes.
	captureBuffer = 64 << 20
	// snapLength is how much of a packet is read: a whole ICMP error inside VXLAN, so that its checksum can be looked at.
	snapLength = 2048
	// keepPackets is how many packets a capture keeps for [Capture.Packets]; it counts all.
	keepPackets = 1 << 16
)

// Capture looks at what passes a device until it is stopped.
type Capture struct {
	socket *socket
	filter packet.Filter
	see    func(p *packet.Packet, frame []byte)
	done   sync.WaitGroup

	reading sync.Mutex // one reads, so that packets stay in order
	buffer  []byte

	mu     sync.Mutex
	count  int
	kept   []*packet.Packet
	last   []byte
	failed error
}

// StartCapture begins to look at a device of the namespace, or at all of them if device is "any". Packets that the filter does
// not hold for are not counted. When it returns, every packet from then on is seen.
func StartCapture(ns *netns.NS, device string, filter packet.Filter) (*Capture, error) {
	c := &Capture{filter: filter}
	c.see = c.keep
	return c, c.start(ns, device)
}

// Watch is [StartCapture], but hands every packet to see, one after the other, instead of keeping any: there is no limit to how many.
func Watch(ns *netns.NS, device string, see func(*packet.Packet)) (*Capture, error) {
	c := &Capture{see: func(p *packet.Packet, _ []byte) { see(p) }}
	return c, c.start(ns, device)
}

func (c *Capture) start(ns *netns.NS, device string) error {
	// Protocol 0: nothing arrives before the socket is bound to its device.
	s, err := newSocket(ns, unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	if err := s.control(func(fd int) error { return listenTo(fd, device) }); err != nil {
		return errors.Join(fmt.Errorf("capture on %s in %s: %w", device, ns.Name(), err), s.Close())
	}
	c.socket, c.buffer = s, make([]byte, snapLength)
	c.done.Go(c.run)
	return nil
}

func listenTo(fd int, device string) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
		return fmt.Errorf("set the receive buffer: %w", err)
	}
	index := 0
	if device != "any" {
		request, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
			return err
		}
		index = int(request.Uint32())
	}
	// ETH_P_ALL in network byte order: packet(7).
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: index})
}

// run reads until Stop sets a deadline, then what is left.
func (c *Capture) run() {
	err := c.socket.receive(c.read)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.socket.control(c.read)
	}
	c.fail(err)
}

// catchUp takes the packets that have passed and that run has not come to yet. What is looked at next holds all that
// happened before.
func (c *Capture) catchUp() {
	if err := c.socket.control(c.read); !errors.Is(err, os.ErrClosed) {
		c.fail(err)
	}
}

func (c *Capture) fail(err error) {
	if errors.Is(err, unix.EAGAIN) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = errors.Join(c.failed, err)
}

// read takes packets until there are none.
func (c *Capture) read(fd int) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		n, from, err := unix.Recvfrom(fd, c.buffer, 0)
		switch {
		case errors.Is(err, unix.ENETDOWN): // the device went down or away; what it showed before counts
			continue
		case err != nil:
			return err
		}
		p, err := packet.Parse(c.buffer[:n], packet.DefaultVXLANPort)
		if err != nil {
			continue
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok {
			p.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
		}
		c.see(p, c.buffer[:n])
	}
}

func (c *Capture) keep(p *packet.Packet, frame []byte) {
	if !c.filter.Match(p) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	c.last = append(c.last[:0], frame...)
	if len(c.kept) < keepPackets {
		c.kept = append(c.kept, p)
	}
}

// Count is how many packets have passed so far that a further filter holds for. It looks at the packets that are kept, the
// first 65536; the zero filter counts all.
func (c *Capture) Count(further packet.Filter) int {
	c.catchUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	if further.String() == "" {
		return c.count
	}
	n := 0
	for _, p := range c.kept {
		if further.Match(p) {
			n++
		}
	}
	return n
}

// Packets are the first 65536 packets so far, in order.
func (c *Capture) Packets() []*packet.Packet {
	c.catchUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*packet.Packet(nil), c.kept...)
}

// Last is the packet that has passed last, from its IP header on, at most 2034 bytes of it; nil if none has.
func (c *Capture) Last() []byte {
	const etherHeader = 14
	c.catchUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) <= etherHeader {
		return nil
	}
	return append([]byte(nil), c.last[etherHeader:]...)
}

// Stop ends the capture. Every packet that passed before is counted when it returns; an error says that some were missed, so
// that a count of zero proves nothing.
func (c *Capture) Stop() error {
	_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // fails after a Stop alone
	c.done.Wait()
	var dropped uint32
	err := c.socket.control(func(fd int) error {
		stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			dropped = stats.Drops
		}
		return err
	})
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	errs := []error{c.failed, err, c.socket.Close()}
	if dropped > 0 {
		errs = append(errs, fmt.Errorf("capture missed %d packets", dropped))
	}
	return errors.Join(errs...)
}

package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// together is how many flows are ended by one message to the kernel. All of its answers fit into the socket's buffer.
const together = 64

// End ends the flows of a family (AF_INET, AF_INET6) that concern says yes to: their entries are deleted while the kernel is read, so that
// it takes the same little memory for one and for a million. One that has ended by itself is no error.
func End(ns *netns.NS, family uint8, concern func(*Entry) bool) error {
	err := withSocket(ns, func(reader int) error {
		return withSocket(ns, func(socket int) error {
			w := &writer{fd: socket, answer: make([]byte, buffer)}
			err := dump(reader, request(family, 0), func(e *Entry) error {
				if !concern(e) {
					return nil
				}
				return w.end(e)
			})
			err = errors.Join(err, w.flush())
			return errors.Join(err, w.failed)
		})
	})
	if err != nil {
		return fmt.Errorf("end flows of %s: %w", ns.Name(), err)
	}
	return nil
}

// writer deletes entries, some at a time.
type writer struct {
	fd     int
	batch  []byte
	last   int // where the last message of the batch begins
	count  uint32
	answer []byte
	// failed is the first failure; the rest is ended all the same.
	failed error
}

func (w *writer) end(e *Entry) error {
	w.last = len(w.batch)
	w.batch = appendHeader(w.batch, messageEnd, unix.NLM_F_REQUEST, w.count, e.family)
	w.batch = appendAttribute(w.batch, unix.NLA_F_NESTED|attrOriginal, e.original)
	w.batch = finish(appendAttribute(w.batch, attrID, e.id), w.last)
	if w.count++; w.count < together {
		return nil
	}
	return w.flush()
}

// flush sends what is left, and waits for the answer to the last: the kernel says of others only what failed.
func (w *writer) flush() error {
	if w.count == 0 {
		return nil
	}
	flags := w.batch[w.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	last := w.count - 1
	if err := send(w.fd, w.batch); err != nil {
		return err
	}
	w.batch, w.count = w.batch[:0], 0
	for {
		n, err := receive(w.fd, w.answer)
		if err != nil {
			return err
		}
		done, err := messages(w.answer[:n], func(_ uint16, sequence uint32, body []byte) (bool, error) {
			if err := failure(body); w.failed == nil && !errors.Is(err, unix.ENOENT) {
				w.failed = err
			}
			return sequence == last, nil
		})
		if done || err != nil {
			return err
		}
	}
}

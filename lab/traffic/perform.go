package traffic

import (
	"crypto/sha256"
	"io"
	"net/netip"
)

// perform does what a client asks for.
func (s *Server) perform(r request, conn *socket, remote netip.AddrPort) error {
	in, out, n := plainReader{conn.File}, plain{conn.File}, int64(r.bytes)
	switch r.op {
	case opWho:
		answer := make([]byte, addressSize)
		putAddress(answer, remote)
		_, err := out.Write(answer)
		return err
	case opPut:
		hash := sha256.New()
		got, err := io.CopyN(hash, in, n)
		s.meet(remote, got, true)
		if err != nil {
			return err
		}
		_, err = out.Write(hash.Sum(nil))
		return err
	case opGet:
		_, err := io.CopyBuffer(out, io.LimitReader(pattern(r.seed), n), make([]byte, chunk))
		return err
	}
	return errUnknownOperation
}

package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Types of files in the mode field of a cpio header, as in stat(2).
const (
	typeDir     = 0o040000
	typeChar    = 0o020000
	typeRegular = 0o100000
	typeLink    = 0o120000
)

// trailer is the name of the entry that ends an archive.
const trailer = "TRAILER!!!"

// Writer writes one archive.
type Writer struct {
	w     io.Writer
	size  int64
	inode uint32
	seen  map[string]bool
	err   error
}

// NewWriter returns a Writer whose archive goes to w. The archive starts with
// the console's device node: the kernel opens it for init before devtmpfs exists.
func NewWriter(w io.Writer) *Writer {
	a := &Writer{w: w, seen: map[string]bool{"/": true}}
	a.entry("/dev/console", typeChar|0o600, device{5, 1}, 0, nil)
	return a
}

// Bytes adds a file with the given content and its parent folders.
func (a *Writer) Bytes(name string, perm fs.FileMode, data []byte) {
	a.entry(name, typeRegular|uint32(perm.Perm()), device{}, int64(len(data)), func() error {
		_, err := a.write(data)
		return err
	})
}

// Copy adds the host's file source as name, with its parent folders.
func (a *Writer) Copy(name string, perm fs.FileMode, source string) {
	if a.err != nil || a.seen[path.Clean(name)] {
		return
	}
	f, err := os.Open(source)
	if err != nil {
		a.fail(fmt.Errorf("add %s: %w", name, err))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		a.fail(fmt.Errorf("add %s: %w", name, err))
		return
	}
	a.entry(name, typeRegular|uint32(perm.Perm()), device{}, info.Size(), func() error {
		n, err := io.CopyN(writerFunc(a.write), f, info.Size())
		if err != nil {
			return fmt.Errorf("copy %s: wrote %d of %d bytes: %w", source, n, info.Size(), err)
		}
		return nil
	})
}

// Link adds a symbolic link.
func (a *Writer) Link(name, target string) {
	a.entry(name, typeLink|0o777, device{}, int64(len(target)), func() error {
		_, err := a.write([]byte(target))
		return err
	})
}

// Dir adds a folder and its parents.
func (a *Writer) Dir(name string) {
	a.entry(name, typeDir|0o755, device{}, 0, nil)
}

// Close ends the archive and returns the first failure of all that was added.
// It does not close the underlying writer.
func (a *Writer) Close() error {
	a.header(trailer, 0, device{}, 0)
	return a.err
}

// Size is the number of bytes written so far.
func (a *Writer) Size() int64 { return a.size }

// entry writes one entry after those of its parent folders.
func (a *Writer) entry(name string, mode uint32, dev device, size int64, body func() error) {
	name = path.Clean("/" + name)
	if a.err != nil || a.seen[name] {
		return
	}
	a.Dir(path.Dir(name))
	a.seen[name] = true
	a.header(name[1:], mode, dev, size)
	if a.err != nil || body == nil {
		return
	}
	if err := body(); err != nil {
		a.fail(fmt.Errorf("add %s: %w", name, err))
		return
	}
	a.pad()
}

type device struct{ major, minor uint32 }

// header writes the 110 bytes that precede an entry's data: a magic number and
// thirteen fields of eight hexadecimal digits
// (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel).
func (a *Writer) header(name string, mode uint32, dev device, size int64) {
	if a.err != nil {
		return
	}
	if size >= 1<<32 {
		a.fail(fmt.Errorf("add %s: %d bytes do not fit into a cpio entry of less than 4 GiB", name, size))
		return
	}
	a.inode++
	fields := []uint32{
		a.inode, mode, 0, 0, 1, 0, uint32(size), // ino, mode, uid, gid, nlink, mtime, filesize
		0, 0, dev.major, dev.minor, uint32(len(name) + 1), 0, // dev, rdev, namesize, check
	}
	text := "070701"
	for _, f := range fields {
		text += fmt.Sprintf("%08X", f)
	}
	if _, err := a.write([]byte(text + name + "\x00")); err != nil {
		a.fail(fmt.Errorf("add %s: %w", name, err))
		return
	}
	a.pad()
}

// pad brings the archive to the next multiple of four bytes.
func (a *Writer) pad() {
	if rest := a.size % 4; rest != 0 && a.err == nil {
		if _, err := a.write(make([]byte, 4-rest)); err != nil {
			a.fail(err)
		}
	}
}

func (a *Writer) write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	a.size += int64(n)
	return n, err
}

func (a *Writer) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

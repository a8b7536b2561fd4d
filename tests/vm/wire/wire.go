package wire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Port is the name of the virtio serial port that carries the frames.
const Port = "culvert.frames"

// PlanPath is where the guest finds its Plan.
const PlanPath = "/etc/culvert-vm.json"

// Ack is the byte with which the host answers a Done or Fatal frame: everything
// before it has arrived and the guest may power off.
const Ack = 'k'

// Plan is what the guest is to do in one boot.
type Plan struct {
	Modules []string // paths of kernel modules, in the order of loading
	Sources string   // folder whose changed files are sent back after the last unit; empty for none
	Env     []string // environment of every unit
	Units   []Unit
}

// Unit is one program that the guest runs, after the one before it has ended.
type Unit struct {
	Name string   // import path of the package, or the program's name
	Dir  string   // working folder
	Argv []string // program and arguments

	// SplitStderr reports standard error apart from standard output, at the
	// price of their order.
	SplitStderr bool
}

// Kind says what a Frame reports.
type Kind string

// The kinds of frames, in the order in which a whole run sends them.
const (
	Hello  Kind = "hello"  // the kernel is up and the modules are loaded; Text is the kernel's release
	Start  Kind = "start"  // Unit begins
	Output Kind = "output" // Data was written by Unit to its standard output or standard error
	Exit   Kind = "exit"   // Unit ended with Status; Text says how where it is not 0
	File   Kind = "file"   // the file Path below Plan.Sources now holds Data
	Done   Kind = "done"   // every unit was run
	Fatal  Kind = "fatal"  // the guest gave up before the units for the reason in Text
)

// Frame is one report of the guest.
type Frame struct {
	Kind   Kind
	Unit   int    `json:",omitempty"` // index into Plan.Units
	Data   []byte `json:",omitempty"`
	Path   string `json:",omitempty"`
	Status int    `json:",omitempty"` // exit status, or 128 plus the signal's number
	Text   string `json:",omitempty"`
	Stderr bool   `json:",omitempty"` // of an Output frame: written to standard error
}

// Writer sends frames. It may be used from several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer that sends to w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w}
}

// Write sends one frame as one line.
func (w *Writer) Write(f Frame) error {
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode %s frame: %w", f.Kind, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send %s frame: %w", f.Kind, err)
	}
	return nil
}

// Reader receives frames.
type Reader struct {
	r *bufio.Reader
}

// NewReader returns a Reader that receives from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 1<<16)}
}

// Read returns the next frame, or io.ErrUnexpectedEOF when the stream ends:
// only a Done or a Fatal frame is an end, and nobody reads on after those.
func (r *Reader) Read() (Frame, error) {
	line, err := r.r.ReadBytes('\n')
	if err == io.EOF {
		return Frame{}, io.ErrUnexpectedEOF
	}
	if err != nil {
		return Frame{}, fmt.Errorf("read frame: %w", err)
	}
	var f Frame
	if err := json.Unmarshal(line, &f); err != nil {
		return Frame{}, fmt.Errorf("decode frame %.80q: %w", line, err)
	}
	return f, nil
}

package web

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/portmap"
)

// The picture of an address: a cell for each granule, 64 in a row, port 0 at the top left.
const (
	columns    = 64
	cellWidth  = 12
	cellHeight = 14
	pitch      = cellHeight + 3 // from one row to the next
	margin     = 48             // for the ports at the left
)

// colours is how many the style sheet has for this host's claimants.
const colours = 6

// portMap is an address with all who have ports of it.
type portMap struct {
	Address       netip.Addr
	Width, Height int
	// Cells are the claimants' ports, Fill what flows use of them, and Hatch those that are retired.
	Cells, Fill, Hatch []cell
	Rows               []rowLabel
	Claims             []claimRow
	// Drawn is false if the page has too many pictures already.
	Drawn bool
	// Own and Used are the ports of this host's claimants for new flows, and how many of them the protocol uses that uses most.
	Own, Used int
	Given     int // ports of all claimants, retired ones included
}

// cell is a rectangle in the picture.
type cell struct {
	X, Y, W, H float64
	Class      string
	Title      string
}

// rowLabel is where a row begins, where its label stands, and the first port of it.
type rowLabel struct{ Top, Y, Port int }

// claimRow is a claimant in the table below the picture.
type claimRow struct {
	Claimant portmap.Claimant
	// Class is how the picture has it.
	Class string
	// Own is true if the claimant is this host's: only of those is known what they use.
	Own            bool
	Blocks         string
	Ports, Retired int
	// Peak is how many ports the protocol uses that uses most.
	Peak           int
	TCP, UDP, ICMP measure.Use
	// RetiredUsed and Flows are those of all protocols.
	RetiredUsed, Flows int
}

// newPortMap draws an address.
func newPortMap(a netip.Addr, locked *portmap.Tenant, t measure.Tenant) portMap {
	m := portMap{Address: a, Width: margin + columns*cellWidth, Height: 65536 / portmap.Granule / columns * pitch}
	for row := range 65536 / portmap.Granule / columns {
		m.Rows = append(m.Rows, rowLabel{row * pitch, row*pitch + cellHeight - 3, row * columns * portmap.Granule})
	}
	own, others := 0, 0
	for _, c := range locked.Claims {
		i := slices.IndexFunc(t.Claims, func(one measure.Claim) bool { return one.Claimant == c.Claimant && one.Address == a })
		row := claimRow{Claimant: c.Claimant, Own: i >= 0}
		blocks, retired := at(c.Blocks, a), at(c.Retired, a)
		if len(blocks)+len(retired) == 0 {
			continue
		}
		if row.Own {
			row.Class = fmt.Sprintf("own c%d", own%colours)
			own++
			row.take(t.Claims[i])
		} else {
			row.Class = fmt.Sprintf("other o%d", others%2)
			others++
		}
		for _, b := range blocks {
			row.Ports += b.Size()
			m.draw(b, row, "")
		}
		for _, b := range retired {
			row.Retired += b.Size()
			m.draw(b, row, "retired")
		}
		if row.Own {
			m.Own += row.Ports
			m.Used += row.Peak
			for _, b := range slices.Concat(blocks, retired) {
				m.fill(b, row.Class, t.Fill[a])
			}
		}
		m.Given += row.Ports + row.Retired
		row.Blocks = ranges(blocks)
		m.Claims = append(m.Claims, row)
	}
	// This host's first: they have numbers.
	slices.SortStableFunc(m.Claims, func(a, b claimRow) int { return cmp.Compare(truth(b.Own), truth(a.Own)) })
	return m
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *claimRow) take(c measure.Claim) {
	r.Peak = c.Peak()
	r.TCP, r.UDP, r.ICMP = c.Used[measure.TCP], c.Used[measure.UDP], c.Used[measure.ICMP]
	for _, u := range c.Used {
		r.Flows += u.Flows
		r.RetiredUsed += u.Retired
	}
}

// at picks the blocks of an address.
func at(blocks []portmap.Block, a netip.Addr) []portmap.Block {
	return slices.DeleteFunc(slices.Clone(blocks), func(b portmap.Block) bool { return b.Address != a })
}

// ranges writes blocks as "1024–2047, 4096–5119"; many are cut.
func ranges(blocks []portmap.Block) string {
	const most = 4
	text := ""
	for i, b := range blocks {
		switch {
		case i == most:
			return fmt.Sprintf("%s and %d more", text, len(blocks)-most)
		case i > 0:
			text += ", "
		}
		text += fmt.Sprintf("%d–%d", b.First, b.Last)
	}
	return text
}

// draw adds a block's rectangles, one for each row of the picture that it touches.
func (m *portMap) draw(b portmap.Block, row claimRow, more string) {
	title := fmt.Sprintf("%s: ports %s", row.Claimant, b.Ports())
	if more != "" {
		title += ", " + more
	}
	last := int(b.Last) / portmap.Granule
	for g := int(b.First) / portmap.Granule; g <= last; {
		end := min(last, g|(columns-1))
		x, y := place(g)
		c := cell{x, y, float64(end-g+1)*cellWidth - 1, cellHeight, row.Class, title}
		m.Cells = append(m.Cells, c)
		if more != "" {
			m.Hatch = append(m.Hatch, c)
		}
		g = end + 1
	}
}

// fill adds what is used of a block: bars from the bottom, neighbours of one height in one piece.
func (m *portMap) fill(b portmap.Block, class string, used *[measure.Granules]uint8) {
	if used == nil {
		return
	}
	last := int(b.Last) / portmap.Granule
	for g := int(b.First) / portmap.Granule; g <= last; {
		end := g
		for end < last && used[end+1] == used[g] && (end+1)%columns != 0 {
			end++
		}
		if used[g] > 0 {
			x, y := place(g)
			h := max(float64(used[g])/portmap.Granule*cellHeight, 1.5)
			m.Fill = append(m.Fill, cell{x, y + cellHeight - h, float64(end-g+1)*cellWidth - 1, h, class, ""})
		}
		g = end + 1
	}
}

// place is where a granule's cell begins.
func place(granule int) (x, y float64) {
	return float64(margin + granule%columns*cellWidth), float64(granule / columns * pitch)
}

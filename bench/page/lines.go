package page

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// line is one server in a plot of lines.
type line struct {
	name   string
	role   role
	ink    color.Color
	points []point // by x
}

type point struct{ x, y float64 }

// linePlot draws lines of a point at least, with their names at their ends. x is logarithmic unless
// its ticks are categories.
func linePlot(title string, lines []line, x plot.ConstantTicks, axis, unit string, categories bool, width vg.Length) string {
	var names []string
	var values []float64
	for _, l := range lines {
		names = append(names, l.label(unit, len(lines)))
		for _, pt := range l.points {
			values = append(values, pt.y)
		}
	}
	right := widest(bold(label), names) + 26
	p := newPlot()
	p.X.Min, p.X.Max = x[0].Value, x[len(x)-1].Value
	if !categories {
		p.X.Scale = plot.LogScale{}
		if p.X.Min == p.X.Max {
			p.X.Max *= 2
		}
	}
	p.X.Tick.Marker, p.X.Label.Text = x, axis
	if !categories {
		p.X.Tick.Marker = withoutOverlaps(x, width-right-60, p.X.Tick.Label)
	}
	p.X.Padding, p.Y.Padding = 8, 8
	p.Y.Scale = plot.LogScale{}
	p.Y.Min, p.Y.Max = logRange(values)
	height := max(300, 17*vg.Length(len(lines))+90, width/2)
	p.Y.Tick.Marker = logTicks(p.Y.Min, p.Y.Max, unit, height-60, p.Y.Tick.Label, true)
	// agloop comes last, above the rest.
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b line) int { return order(a.role) - order(b.role) })
	p.Add(plotter(gridY), plotter(func(c draw.Canvas, p *plot.Plot) {
		for _, l := range lines {
			l.draw(c, p)
			if len(lines) <= few {
				l.figures(c, p, unit)
			}
		}
		endLabels(c, p, lines, unit)
	}))
	return render(p, title, frame{width, height, 0, right, 0})
}

// few servers in a plot leave room to write the figures at the points.
const few = 3

func order(r role) int { return [...]int{rival: 1, own: 2, floor: 0}[r] }

func (l line) at(c draw.Canvas, p *plot.Plot, pt point) vg.Point {
	return vg.Point{X: c.X(p.X.Norm(pt.x)), Y: c.Y(p.Y.Norm(pt.y))}
}

func (l line) draw(c draw.Canvas, p *plot.Plot) {
	s, radius := draw.LineStyle{Color: l.ink, Width: 1.5}, vg.Length(2.6)
	switch {
	case l.name == ours: // and no other way of its use
		s.Width, radius = 3, 4.2
	case l.role == floor:
		s.Dashes = []vg.Length{5, 3}
	}
	var path []vg.Point
	for _, pt := range l.points {
		path = append(path, l.at(c, p, pt))
	}
	c.StrokeLines(s, path)
	for _, at := range path {
		c.DrawGlyphNoClip(draw.GlyphStyle{Color: l.ink, Radius: radius, Shape: draw.CircleGlyph{}}, at)
	}
}

// label is the name, with the last figure if it has few others beside it.
func (l line) label(unit string, lines int) string {
	if lines > few {
		return l.name
	}
	return l.name + " " + quantity(l.points[len(l.points)-1].y, unit)
}

// figures writes the y of each point above it, on the side that the line leaves free.
func (l line) figures(c draw.Canvas, p *plot.Plot, unit string) {
	for i, pt := range l.points[:len(l.points)-1] { // the last has it in its label
		before, after := l.points[max(i-1, 0)], l.points[min(i+1, len(l.points)-1)]
		s, at := style(l.ink, 12, draw.XLeft, draw.YBottom), l.at(c, p, pt)
		at.X, at.Y = at.X-6, at.Y+7
		text := quantity(pt.y, unit)
		if after.y > before.y && at.X-s.Width(text) > c.Min.X {
			s.XAlign, at.X = draw.XRight, at.X+12
		}
		c.FillText(s, at, text)
	}
}

// endLabels writes the names beside the last points, apart from each other, with a thin line from
// where they belong.
func endLabels(c draw.Canvas, p *plot.Plot, lines []line, unit string) {
	type end struct {
		line
		from vg.Point
		y    vg.Length
	}
	var ends []end
	for _, l := range lines {
		from := l.at(c, p, l.points[len(l.points)-1])
		if from.X < c.Max.X-1 { // refused from there on: its name stands where the line ends
			c.FillText(style(l.ink, fontSize, draw.XLeft, draw.YBottom), vg.Point{X: from.X + 4, Y: from.Y + 3}, l.label(unit, len(lines)))
			continue
		}
		ends = append(ends, end{l, from, from.Y})
	}
	slices.SortStableFunc(ends, func(a, b end) int {
		if a.y < b.y {
			return -1
		}
		return 1
	})
	wanted := make([]vg.Length, len(ends))
	for i, e := range ends {
		wanted[i] = e.from.Y
	}
	for i, y := range apart(wanted, 16, c.Min.Y, c.Max.Y+4) {
		ends[i].y = y
	}
	for _, e := range ends {
		s := style(e.ink, fontSize, draw.XLeft, draw.YCenter)
		switch e.role {
		case own:
			s = bold(s)
		case floor:
			s.Color = inkMuted
		}
		x := c.Max.X + 22
		c.StrokeLine2(draw.LineStyle{Color: e.ink, Width: 0.6}, e.from.X+6, e.from.Y, x-3, e.y)
		c.FillText(s, vg.Point{X: x, Y: e.y + lift}, e.label(unit, len(lines)))
	}
}

// apart moves sorted places as little as makes them a gap apart, and keeps them between low and
// high if they fit. Those that would touch become a block around the middle of what they wanted.
func apart(wanted []vg.Length, gap, low, high vg.Length) []vg.Length {
	type block struct {
		n     vg.Length
		sum   vg.Length // of the places wanted for its lowest
		first vg.Length
	}
	var blocks []block
	for _, y := range wanted {
		b := block{n: 1, sum: y}
		for {
			b.first = max(min(b.sum/b.n, high-(b.n-1)*gap), low)
			if len(blocks) == 0 {
				break
			}
			below := blocks[len(blocks)-1]
			if below.first+below.n*gap <= b.first {
				break
			}
			// What b's lowest wants is so many gaps above what the merged block's lowest would.
			b = block{n: below.n + b.n, sum: below.sum + b.sum - b.n*below.n*gap}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	var out []vg.Length
	for _, b := range blocks {
		for i := vg.Length(0); i < b.n; i++ {
			out = append(out, b.first+i*gap)
		}
	}
	return out
}

// withoutOverlaps removes the labels of points that would touch others; the first and the last
// stay.
func withoutOverlaps(ticks plot.ConstantTicks, size vg.Length, s text.Style) plot.ConstantTicks {
	first, last := ticks[0].Value, ticks[len(ticks)-1].Value
	edge := func(t plot.Tick, side float64) float64 {
		at := 0.0
		if last > first {
			at = math.Log(t.Value/first) / math.Log(last/first) * size.Points()
		}
		return at + side*(s.Width(t.Label).Points()/2+4)
	}
	out := slices.Clone(ticks)
	free := math.Inf(-1)
	for i, t := range ticks {
		switch {
		case i == len(ticks)-1:
		case edge(t, -1) < free, i > 0 && edge(t, 1) > edge(ticks[len(ticks)-1], -1):
			out[i].Label = ""
		default:
			free = edge(t, 1)
		}
	}
	return out
}

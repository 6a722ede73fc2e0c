package page

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// logRange widens positive values to the next 1, 2 or 5, so that the axis begins and ends with a
// tick. Values close together get at least a factor of 2.
func logRange(values []float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, v := range values {
		if v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		return 1, 10
	}
	low, high = step(low*0.98, false), step(high*1.02, true)
	return low, high
}

// step is the 1, 2 or 5 times a power of ten below or above v.
func step(v float64, up bool) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	best := decade
	for _, m := range []float64{1, 2, 5, 10} {
		switch s := m * decade; {
		case up && s >= v:
			return s
		case s <= v:
			best = s
		}
	}
	return best
}

// logTicks are at 1, 2, 5, 10 … where there is room for their labels, and else at the powers of
// ten.
func logTicks(low, high float64, unit string, size vg.Length, style text.Style, vertical bool) plot.ConstantTicks {
	var major, minor []float64
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high*1.001; decade *= 10 {
		for _, m := range []float64{1, 2, 5} {
			switch v := m * decade; {
			case v < low*0.999 || v > high*1.001:
			case m == 1:
				major = append(major, v)
			default:
				minor = append(minor, v)
			}
		}
	}
	// Powers of ten are labelled first. The ticks between them are labelled only if all labels fit,
	// because a few would be hard to read.
	taken := place(nil, major, low, high, unit, size, style, vertical)
	if with := place(taken, minor, low, high, unit, size, style, vertical); len(major) < 2 || len(with) == len(major)+len(minor) {
		taken = with
	}
	var out plot.ConstantTicks
	for _, t := range taken {
		out = append(out, plot.Tick{Value: t.value, Label: tickLabel(t.value, unit)})
	}
	return out
}

// tickLabel is a quantity without the zeros that say how exact it is.
func tickLabel(v float64, unit string) string {
	v, unit = scaled(v, unit)
	text := thousands(strconv.FormatFloat(v, 'g', 3, 64))
	if v >= 1 {
		text = thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	if unit == "" {
		return text
	}
	return text + noBreak + unit
}

type taken struct {
	value    float64
	from, to float64
}

// place adds the values whose labels overlap none that is there.
func place(there []taken, values []float64, low, high float64, unit string, size vg.Length, s text.Style, vertical bool) []taken {
	out := append([]taken(nil), there...)
	for _, v := range values {
		at := math.Log(v/low) / math.Log(high/low) * size.Points()
		room := s.Width(tickLabel(v, unit)).Points() + 10
		if vertical {
			room = 20
		}
		t, free := taken{v, at - room/2, at + room/2}, true
		for _, o := range out {
			free = free && (t.to <= o.from || t.from >= o.to)
		}
		if free {
			out = append(out, t)
		}
	}
	return out
}

var hair = draw.LineStyle{Color: inkGrid, Width: 1}

// gridX draws a line at each tick of the x axis.
func gridX(c draw.Canvas, p *plot.Plot) {
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		x := c.X(p.X.Norm(t.Value))
		c.StrokeLine2(hair, x, c.Min.Y, x, c.Max.Y)
	}
}

// gridY draws a line at each tick of the y axis.
func gridY(c draw.Canvas, p *plot.Plot) {
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		y := c.Y(p.Y.Norm(t.Value))
		c.StrokeLine2(hair, c.Min.X, y, c.Max.X, y)
	}
}

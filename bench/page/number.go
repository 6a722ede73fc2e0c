package page

import (
	"math"
	"strconv"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// Number prints three significant digits, and large numbers whole with their thousands apart.
func Number(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64) // 9.996 is 10.0
	digits := 2 - int(math.Floor(math.Log10(math.Abs(rounded))))
	s := strconv.FormatFloat(v, 'f', min(max(digits, 0), 6), 64)
	if whole, _, fraction := strings.Cut(s, "."); !fraction {
		return thousands(whole)
	}
	return s
}

// thousands puts commas into five digits and more.
func thousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if len(s) < 5 {
		return sign + s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// noBreak keeps a number and its unit on one line.
const noBreak = "\u00a0"

// quantity is a number with its unit, in the unit that keeps it short.
func quantity(v float64, unit string) string {
	v, unit = scaled(v, unit)
	if unit == "" {
		return Number(v)
	}
	if rate, ok := strings.CutPrefix(unit, "1/"); ok {
		return Number(v) + "/" + rate
	}
	return Number(v) + noBreak + unit
}

func scaled(v float64, unit string) (float64, string) {
	switch a := math.Abs(v); {
	case unit == "µs" && a >= 1e6:
		return v / 1e6, "s"
	case unit == "µs" && a >= 1e3:
		return v / 1e3, "ms"
	case unit == "ns" && a >= 1e6:
		return v / 1e6, "ms"
	case unit == "ns" && a >= 1e4:
		return v / 1e3, "µs"
	case unit == "B" && a >= 1e6:
		return v / 1e6, "MB"
	case unit == "B" && a >= 1e5:
		return v / 1e3, "kB"
	}
	return v, unit
}

// span is the least and the largest of a spread: what the median alone would hide.
func span(s result.Spread) string {
	if s.N == 0 {
		return "–"
	}
	low, high := Number(s.Min), Number(s.Max)
	if low == high {
		return low
	}
	return low + "–" + high
}

func median(s result.Spread) string {
	if s.N == 0 {
		return "–"
	}
	return Number(s.Median)
}

// count is a number of things, which has no decimals unless it is a mean.
func count(v float64) string {
	if v == math.Trunc(v) {
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return Number(v)
}

// times is how often one figure goes into another: 24, 3.4, 1.08.
func times(v float64) string {
	switch {
	case v >= 9.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 1.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

package metrics

// HistogramSnapshot is a copy of one histogram, or the sum of several, at one moment. The zero
// value is empty. It takes 16 kB, so reuse it with Reset. It belongs to one goroutine.
type HistogramSnapshot struct {
	Count    uint64
	Sum      uint64 // within 0.8 %, modulo 2^64
	Min, Max int64  // exact, after Difference within 0.8 %; 0 without values

	counts  [octaves]uint64 // of all values in an octave
	buckets [octaves][subBuckets]uint64
}

// Reset empties s.
func (s *HistogramSnapshot) Reset() {
	for i, n := range s.counts {
		if n != 0 {
			s.counts[i] = 0
			clear(s.buckets[i][:])
		}
	}
	s.Count, s.Sum, s.Min, s.Max = 0, 0, 0, 0
}

// Difference sets s to what was recorded between two snapshots of the same histograms, neither of
// which may be s. If the histograms were replaced by empty ones in between, s becomes later.
func (s *HistogramSnapshot) Difference(later, earlier *HistogramSnapshot) {
	if !s.subtract(later, earlier) {
		s.subtract(later, &emptySnapshot)
	}
}

var emptySnapshot HistogramSnapshot

// subtract reports false when a bucket has fewer values in later than in earlier.
func (s *HistogramSnapshot) subtract(later, earlier *HistogramSnapshot) bool {
	s.Reset()
	for i, n := range later.counts {
		if n < earlier.counts[i] {
			return false
		}
		n -= earlier.counts[i]
		if n == 0 {
			continue
		}
		s.counts[i] = n
		var sum uint64
		first, last := -1, 0
		middle, step := uint64(middleOf(i, 0)), widthOf(i)
		before := &earlier.buckets[i]
		for j, c := range later.buckets[i] {
			if c < before[j] {
				return false
			}
			c -= before[j]
			s.buckets[i][j] = c
			sum += c * middle
			middle += step
			if c != 0 {
				last = j
				if first < 0 {
					first = j
				}
			}
		}
		if s.Count == 0 {
			s.Min = min(max(middleOf(i, first), later.Min), later.Max)
		}
		s.Max = min(max(middleOf(i, last), later.Min), later.Max)
		if i == octaves-1 && last == subBuckets-1 {
			s.Max = later.Max // the last bucket has no upper bound
		}
		s.Count += n
		s.Sum += sum
	}
	return true
}

// Mean is the average within 0.8 %, 0 without values.
func (s *HistogramSnapshot) Mean() float64 {
	if s.Count == 0 {
		return 0
	}
	// The middle of a bucket may lie outside the extremes when all values are in that bucket.
	return min(max(float64(s.Sum)/float64(s.Count), float64(s.Min)), float64(s.Max))
}

// Quantile is the value that the fraction q of all values do not exceed, within 0.8 %: 0.5 is the
// median, 0 the least value and 1 the greatest. It is 0 without values.
func (s *HistogramSnapshot) Quantile(q float64) int64 {
	switch {
	case s.Count == 0:
		return 0
	case !(q > 0): // NaN too
		return s.Min
	case q >= 1:
		return s.Max
	}
	rank := uint64(q * float64(s.Count))
	if float64(rank) < q*float64(s.Count) {
		rank++
	}
	for i, n := range s.counts {
		if n < rank {
			rank -= n
			continue
		}
		for j, c := range s.buckets[i] {
			if c < rank {
				rank -= c
				continue
			}
			if i == octaves-1 && j == subBuckets-1 {
				return s.Max
			}
			return min(max(middleOf(i, j), s.Min), s.Max)
		}
	}
	return s.Max
}

// Below is the number of values that are not greater than v. All values in the bucket of v are
// counted, so those up to 1.6 % greater than v may be, too.
func (s *HistogramSnapshot) Below(v int64) (n uint64) {
	if v < 0 {
		return 0
	}
	last, lastBucket := bucketOf(v)
	for _, c := range s.counts[:last] {
		n += c
	}
	for _, c := range s.buckets[last][:lastBucket+1] {
		n += c
	}
	return n
}

package expression

import "slices"

// Screen finds those of many criteria that may fit an event. Most criteria compare a place in the event with a constant
// text, and many look at the same place: it is read once for all of them, and those that want a certain text are found by
// the one that is there.
//
// Of criteria that it leaves out a part is known to be false, so that they do not fit whatever their other parts say. It
// is safe for concurrent use.
type Screen struct {
	open   []int // criteria that compare no text
	places []*screened
}

// screened are criteria by what they say of the text at one place.
type screened struct {
	at    path
	all   []int            // they may all fit an event that has no text there
	equal map[string][]int // by the text that they want
	tests []test
}

// test is what one of the criteria says of the text.
type test struct {
	criteria int
	fits     func(text string) bool
}

// NewScreen makes a screen of criteria; nil fits every event.
func NewScreen(all []*Criteria) *Screen {
	s := &Screen{}
	places := map[string]*screened{}
	for i, c := range all {
		q := c.comparesText()
		if q == nil {
			s.open = append(s.open, i)
			continue
		}
		name := q.at.String()
		p := places[name]
		if p == nil {
			p = &screened{at: q.at, equal: map[string][]int{}}
			places[name] = p
			s.places = append(s.places, p)
		}
		p.add(i, q)
	}
	return s
}

// comparesText gives the first part that is about a text; nil when there is none.
func (c *Criteria) comparesText() *shortcut {
	if c == nil {
		return nil
	}
	for i := range c.parts {
		if q := c.parts[i].quick; q != nil && q.text != nil {
			return q
		}
	}
	return nil
}

func (p *screened) add(criteria int, q *shortcut) {
	p.all = append(p.all, criteria)
	if q.equals != nil {
		p.equal[*q.equals] = append(p.equal[*q.equals], criteria)
		return
	}
	p.tests = append(p.tests, test{criteria, q.text})
}

// Possible gives the criteria that may fit an event, as indexes in ascending order. variable gives the event's fields by
// their names: few of them are asked for.
func (s *Screen) Possible(variable func(name string) (any, bool)) []int {
	found := slices.Clone(s.open)
	for _, p := range s.places {
		found = p.possible(variable, found)
	}
	slices.Sort(found)
	return found
}

func (p *screened) possible(variable func(name string) (any, bool), found []int) []int {
	name, _ := p.at[0].(string)
	field, ok := variable(name)
	if !ok {
		return append(found, p.all...)
	}
	text, ok := p.at[1:].from(field).(string)
	if !ok {
		return append(found, p.all...)
	}
	found = append(found, p.equal[text]...)
	for _, t := range p.tests {
		if t.fits(text) {
			found = append(found, t.criteria)
		}
	}
	return found
}

// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/internal/inside"
)

const (
	// defaultFlows is how many flows an instance without a budget keeps.
	defaultFlows = 65536
	// flowShards is how many shards a table has, unless it has room for less than smallTable flows: then it has one, and its
	// limits are exact.
	flowShards = 1 << flowShardBits
	smallTable = 1024
	// sourceShare is the part of a shard that the flows of one source may take.
	sourceShare = 8
	// flowSlab is how many records are allocated at once.
	flowSlab = 64

	flowShardBits = 3

	// flowIdle is how long a flow is kept without a segment, flowLinger how long after both ends' FINs.
	flowIdle   = 5 * time.Minute
	flowLinger = 10 * time.Second
	// flowRecent is how exact recency is: a flow that was made the newest is not moved again for so long.
	flowRecent = time.Second
	// expiredAtOnce is how many flows, at most, a worker removes from a shard because their time is over.
	expiredAtOnce = 4
)

// A flowTable keeps the flows of an instance. It takes memory when flows come: at most 512 bytes for each flow that there was
// at the same time (in slabs of 64, data of helpers not counted), and up to 16 for each that there may be.
//
// A flow belongs to one of the shards by its hash. A shard's lock is held while the points of its flows run, which makes the
// calls for one flow exclusive. A worker takes it once for all segments of a batch that belong to the shard, and no second one
// at the same time. Below it are the locks of helpers, and those of khelp.
type flowTable struct {
	inst   *Instance
	n      *flowCounters
	secret [4]uint64 // of the hash
	shift  int       // leaves the number of the shard of a hash
	shards []flowShard
}

// Those who lock a shard.
func init() {
	inside.Mark(inside.Flows, (*flowShard).visit, (*flowShard).sweep, (*flowShard).flush, (*flowShard).each)
}

// A flowShard is a part of the table: records in a hash table with chains, and in lists.
type flowShard struct {
	table        *flowTable
	limit, share int // of flows, and of flows of one source

	mu      sync.Mutex // guards all below, and the flows
	buckets []*flow    // a power of two of them, so that there is one for each flow; nil until a flow comes
	free    *flow      // records to use, chained by next
	flows   int
	open    flowList // by recency
	closing flowList // those that linger, by when they began to
	sources map[uint64]*flowSource

	_ [64]byte // the next shard's lock has another cache line
}

// A flow is a record of the table: six cache lines, of which a segment of a flow that is known needs four, the first, one of
// each end, and the last.
type flow struct {
	next *flow // in its bucket, or the next free record
	hash uint64
	key  flowKey
	seen time.Duration // the last segment

	ends [2]FlowEnd // in the order of the key

	links   [2]flowLinks
	source  *flowSource
	created time.Duration
	moved   time.Duration // when it was made the newest, or began to linger
	client  uint8         // which of the ends
	lingers bool
	refused bool // a helper could not make its data: no points run
}

// A flowSource has flows in a shard.
type flowSource struct {
	key   uint64
	count int
	flows flowList // by recency
}

// A flowList goes through flows by one of their links.
type flowList struct{ oldest, newest *flow }

type flowLinks struct{ older, newer *flow }

// The links of a flow: in open or closing, and in its source's list.
const (
	byRecency = iota
	bySource
)

func (l *flowList) push(f *flow, by int) {
	f.links[by] = flowLinks{older: l.newest}
	if l.newest != nil {
		l.newest.links[by].newer = f
	} else {
		l.oldest = f
	}
	l.newest = f
}

func (l *flowList) remove(f *flow, by int) {
	at := f.links[by]
	if at.older != nil {
		at.older.links[by].newer = at.newer
	} else {
		l.oldest = at.newer
	}
	if at.newer != nil {
		at.newer.links[by].older = at.older
	} else {
		l.newest = at.older
	}
}

// newFlowTable returns a table with room for limit flows, 0 for the default.
func newFlowTable(i *Instance, n *flowCounters, limit int) *flowTable {
	if limit == 0 {
		limit = defaultFlows
	}
	t := &flowTable{inst: i, n: n, shift: 64 - flowShardBits, shards: make([]flowShard, flowShards)}
	if limit < smallTable {
		t.shift, t.shards = 64, t.shards[:1]
	}
	for k := range t.secret {
		t.secret[k] = rand.Uint64()
	}
	for k := range t.shards {
		s := &t.shards[k]
		s.table, s.limit = t, limit/len(t.shards)
		s.share = max(1, s.limit/sourceShare)
	}
	return t
}

// hash mixes a key with the table's secret, so that nobody outside can choose where flows go.
func (t *flowTable) hash(k *flowKey) uint64 {
	h := mix(k.address[0][1]^t.secret[0], k.address[1][1]^t.secret[1])
	if k.address[0][0]|k.address[1][0] != 0 { // IPv6
		h = mix(h^k.address[0][0]^t.secret[2], k.address[1][0]^t.secret[3])
	}
	return mix(h^t.secret[1], uint64(k.port[0])<<16^uint64(k.port[1])^t.secret[2])
}

// mix is the folded multiplication of wyhash.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// find returns the flow of a key, nil if there is none.
func (s *flowShard) find(k *flowKey, hash uint64) *flow {
	if s.buckets == nil {
		return nil
	}
	f := s.buckets[hash&uint64(len(s.buckets)-1)]
	for f != nil && (f.hash != hash || !f.key.equal(k)) {
		f = f.next
	}
	return f
}

// add makes a flow of its first segment; the shard has none of that key. It counts for the share of who sent that segment,
// whatever it says, or others could use up shares that are not theirs. If there is no room the oldest of its source or of all
// goes, those that linger first.
func (s *flowShard) add(row *tcpRow, sender uint8, c *TCPContext) *flow {
	key := row.key.source(sender)
	if source := s.sources[key]; source != nil && source.count >= s.share {
		s.remove(source.flows.oldest, &s.table.n.evictedSource)
	} else if s.flows >= s.limit {
		victim := s.closing.oldest
		if victim == nil {
			victim = s.open.oldest
		}
		s.remove(victim, &s.table.n.evicted)
	}
	f := s.record()
	*f = flow{key: row.key, hash: row.hash, client: row.key.client(sender, c), created: c.Now, seen: c.Now, moved: c.Now}
	for k := range f.ends {
		e := &f.ends[k]
		e.Local, e.Remote = row.key.end(k), row.key.end(1-k)
		e.MidStream = c.Flags&(TCPSyn|TCPAck) != TCPSyn
		e.Terminated = s.table.inst.fib.lookup(e.Local.Addr()).local()
	}
	f.refused = !s.createData(f)
	s.insert(f, key)
	return f
}

// record returns a record to use.
func (s *flowShard) record() *flow {
	if s.free == nil {
		slab := make([]flow, min(flowSlab, s.limit))
		for k := range slab {
			slab[k].next = s.free
			s.free = &slab[k]
		}
	}
	f := s.free
	s.free = f.next
	return f
}

// createData makes the data of helpers on both ends, or on none.
func (s *flowShard) createData(f *flow) bool {
	for k := range f.ends {
		if err := s.table.inst.helpers.Create(&f.ends[k].Object, khelp.TCP); err != nil {
			f.ends[0].Destroy()
			s.table.n.refused.Add(1)
			return false
		}
	}
	return true
}

// insert puts a flow into the table, as the newest.
func (s *flowShard) insert(f *flow, key uint64) {
	if s.buckets == nil {
		s.buckets = make([]*flow, 1<<bits.Len(uint(s.limit-1)))
		s.sources = make(map[uint64]*flowSource)
	}
	bucket := &s.buckets[f.hash&uint64(len(s.buckets)-1)]
	f.next, *bucket = *bucket, f
	f.source = s.sources[key]
	if f.source == nil {
		f.source = &flowSource{key: key}
		s.sources[key] = f.source
	}
	f.source.count++
	f.source.flows.push(f, bySource)
	s.open.push(f, byRecency)
	s.flows++
	s.table.n.flows.Add(1)
	s.table.n.made.Add(1)
	if f.ends[0].MidStream {
		s.table.n.midStream.Add(1)
	}
}

// remove ends a flow for the reason that is counted. Its record may be used again at once.
func (s *flowShard) remove(f *flow, reason *atomic.Uint64) {
	at := &s.buckets[f.hash&uint64(len(s.buckets)-1)]
	for *at != f {
		at = &(*at).next
	}
	*at = f.next
	s.list(f).remove(f, byRecency)
	f.source.flows.remove(f, bySource)
	if f.source.count--; f.source.count == 0 {
		delete(s.sources, f.source.key)
	}
	f.next, s.free = s.free, f
	f.source = nil
	s.flows--
	s.table.n.flows.Add(^uint64(0))
	reason.Add(1)
	for k := range f.ends {
		f.ends[k].Destroy()
	}
}

// list returns the list by recency that a flow is in.
func (s *flowShard) list(f *flow) *flowList {
	if f.lingers {
		return &s.closing
	}
	return &s.open
}

// touch makes a flow the newest, unless that was done a short while ago.
func (s *flowShard) touch(f *flow, now time.Duration) {
	f.seen = max(f.seen, now)
	if f.lingers || now-f.moved < flowRecent {
		return
	}
	f.moved = now
	s.open.remove(f, byRecency)
	s.open.push(f, byRecency)
	f.source.flows.remove(f, bySource)
	f.source.flows.push(f, bySource)
}

// linger lets a flow whose ends have both sent a FIN stay for a while, for the last acknowledgments and what is sent again.
func (s *flowShard) linger(f *flow, now time.Duration) {
	s.open.remove(f, byRecency)
	s.closing.push(f, byRecency)
	f.lingers, f.moved = true, now
}

// expire removes at most n flows whose time is over.
func (s *flowShard) expire(now time.Duration, n int) {
	for range n {
		if f := s.closing.oldest; f != nil && now-f.moved >= flowLinger {
			s.remove(f, &s.table.n.finished)
		} else if f := s.open.oldest; f != nil && now-f.moved >= flowIdle {
			s.remove(f, &s.table.n.idle)
		} else {
			return
		}
	}
}

// sweep is expire for a shard that has no traffic of its own. If it is busy there is no need.
func (s *flowShard) sweep(now time.Duration) {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		s.expire(now, expiredAtOnce)
	}
}

// flush removes all flows and gives the memory back.
func (s *flowShard) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range []*flowList{&s.closing, &s.open} {
		for l.oldest != nil {
			s.remove(l.oldest, &s.table.n.flushed)
		}
	}
	s.buckets, s.sources, s.free = nil, nil, nil
}

// each calls a function with every flow that is there, the oldest first, those that linger before all.
func (s *flowShard) each(f func(*flow)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(s.table.inst.now(), s.flows)
	for at := s.closing.oldest; at != nil; at = at.links[byRecency].newer {
		f(at)
	}
	for at := s.open.oldest; at != nil; at = at.links[byRecency].newer {
		f(at)
	}
}

// Package packindex is a signed list of packs that can be installed by name.
//
// An index is a folder, on disk or on a web server: index.json lists versions of packs with the digests of their
// archives, index.json.sig is its signature, and the archives lie beside. It guarantees that nothing of an index is
// used before its signature by a trusted key was verified, that every file it names lies directly in its folder, and
// that the same packs make the same index.
package packindex

package org.edgesdk;

/** A file was written by a newer version than this one. */
public final class VersionException extends FormatException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public VersionException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}

package org.edgesdk;

/** A model that this can not express. */
public final class UnsupportedModelException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public UnsupportedModelException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}

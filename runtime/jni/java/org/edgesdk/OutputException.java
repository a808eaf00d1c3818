package org.edgesdk;

/** The output can not be written. */
public final class OutputException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public OutputException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}

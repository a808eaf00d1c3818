package org.edgesdk;

/** The native library is missing, or not for this processor. */
public final class UnsupportedPlatformException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public UnsupportedPlatformException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}

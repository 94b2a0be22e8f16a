extension Image {
    /// Decodes a PNG, JPEG, WebP, GIF, BMP or TIFF file and rotates it upright by its EXIF or XMP orientation.
    ///
    /// The pixels are those of Pillow's `ImageOps.exif_transpose` followed by `convert("RGBA")` when the file has an
    /// alpha channel or a transparent colour, and by `convert("RGB")` otherwise: a palette is looked up, grey is
    /// repeated, 16-bit colours lose their low byte, 16-bit grey is clipped at 255, CMYK becomes 255 minus ink. Of an
    /// animation or a file of several pages it is the first image. Colour profiles and gamma are not applied, as Pillow does
    /// not.
    ///
    /// It differs from Pillow on purpose where a PNG has no end (an error here) and where EXIF is malformed (no orientation
    /// here). An orientation inside compressed text of a PNG is not looked for.
    ///
    /// - Throws: ``ImageError`` with one sentence, for any bytes that are not such a file or exceed the limits.
    public init(decoding bytes: [UInt8], limits: ImageLimits = .standard) throws(ImageError) {
        let (stored, orientation) = try Self.stored(bytes, limits)
        self = stored.image.turned(by: orientation)
    }

    /// Decodes a file to RGB as transformers does for a model: opened by `load_image`, then put on white by the processor.
    ///
    /// An alpha channel is dropped, as `convert("RGB")` does. A transparent colour, which a file names instead of a channel,
    /// survives that conversion and is white in the end.
    ///
    /// - Throws: ``ImageError`` with one sentence, for any bytes that are not such a file or exceed the limits.
    public init(loading bytes: [UInt8], limits: ImageLimits = .standard) throws(ImageError) {
        let (stored, orientation) = try Self.stored(bytes, limits)
        self = stored.loaded.turned(by: orientation)
    }

    private static func stored(_ bytes: [UInt8], _ limits: ImageLimits) throws(ImageError) -> (StoredImage, Int) {
        guard !bytes.isEmpty else { throw ImageError(.empty, "the image file is empty") }
        try limits.check(bytes: bytes.count)
        let format = try ImageFormat(of: bytes)
        return (try format.decode(bytes, limits: limits), ImageMetadata.orientation(in: bytes, format: format))
    }
}

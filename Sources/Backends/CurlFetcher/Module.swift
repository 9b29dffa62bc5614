import BuildOSKit
